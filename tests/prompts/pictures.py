"""Questions with pictures, and models that are asked them, for the tests of this room."""

from __future__ import annotations

from medbench_local.catalog.model import FamilyName, ModelEntry, models
from medbench_local.catalog.names import ShotImages
from medbench_local.prompts.prompt import Prompt, Shown
from medbench_local.prompts.prompt_style import PromptStyle, prompt_style_for
from medbench_local.prompts.prompting import Prompting
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question

PAIRS: tuple[FamilyName, ...] = ("llava-v0", "llava-med", "open-flamingo", "med-flamingo")


def picture(number: int) -> Picture:
    return Picture(f"{number:064x}", name=f"p{number}.png")


P1, P2, P3, P4, P5, P6 = map(picture, range(1, 7))

LUNG = Question("q1", "Is the lung clear?", ("yes", "no"), 0, pictures=(P1,))
BONE = Question("d1", "Is a bone broken?", ("yes", "no"), 1, pictures=(P2,))
ORGAN = Question("d2", "Which organ?", ("liver", "spleen", "heart"), 2, pictures=(P3,))
TAGGED = Question("m1", "<image> Compare it with <image> .", ("same", "other"), 1, pictures=(P4, P5))
FEWER = Question("m2", "In <image> see:", ("<image 2>", "none of it"), 0, pictures=(P4, P5))
MORE = Question("m3", "<image> is A. Look again at\n<image>", ("x", "y"), 0, pictures=(P6,))
IN_OPTIONS = Question("m4", "Which one?", ("<image 1>", "<image 2>"), 1, pictures=(P4, P5))
BLIND = Question("t1", "Does insulin lower glucose?", ("yes", "no", "maybe"), 0)


def entry(family: FamilyName) -> ModelEntry:
    return models()["llama-2-7b"].model_copy(update={"name": f"{family}-7b", "family": family})


def style(family: FamilyName, shot_images: ShotImages = "all", *, system: str | None = "SYS") -> PromptStyle:
    return prompt_style_for(entry(family), asked=Prompting(system_prompt=system), shot_images=shot_images)


def written(prompt: Prompt) -> str:
    """A prompt with numbers of pictures in the places: "[1]"; "[]" where nothing is shown, "[1,2]" for several."""
    return "".join(
        f"[{','.join(str(int(one.sha256, 16)) for one in part.pictures)}]"
        if isinstance(part, Shown)
        else part
        for part in prompt.parts
    )
