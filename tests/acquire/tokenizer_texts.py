"""Texts on which tokenizers are compared: many languages, medicine, code, control text, decomposed accents."""

from __future__ import annotations

import random
import unicodedata
from functools import cache

from medbench_local.tasks.load import load_task
from tests.conftest import SHARED

SENTENCES = (
    "A 54-year-old man has chest pain that radiates to the left arm; troponin I is 3.14 ng/mL (normal <0.04).",
    "Which is the most likely diagnosis?\n(A) Ménière's disease\n(B) Sjögren’s syndrome\n(C) Guillain–Barré",
    "I've seen it's NOT what they'd EXPECT: the heart's left ventricle hypertrophied; we'Ve 'Re 'LL 'd.",
    "Le patient présente une dyspnée d'effort, un œdème des membres inférieurs et une hypertension à 180/110 mmHg.",
    "Die Überprüfung des Blutdrucks ergab größere Schwankungen; Äthanol, Öl und Straße. ẞ ß ſ K Å",
    "El niño tiene fiebre de 39,5 °C desde ayer; ¿qué antibiótico se debe administrar? ¡Urgente!",
    "Пациент жалуется на боль в груди. Нещо на Български. ЙОД йод",
    "Ο ασθενής έχει υπέρταση και σακχαρώδη διαβήτη τύπου 2. ΆΈΉΊΌΎΏ",
    "病人三天前开始发烧，体温38.5℃，伴有咳嗽。我想在apple工作1314151天～",
    "患者は３日前から発熱、咳嗽あり。アスピリン１００ｍｇを投与した。ﾊﾝｶｸ",
    "환자는 3일 전부터 발열과 기침이 있었다. 진단은 무엇입니까?",
    "يعاني المريض من ألم في الصدر منذ ثلاثة أيام. مَرِيضٌ ١٢٣٤٥",
    "לחולה יש כאבים בחזה כבר שלושה ימים. שָׁלוֹם",
    "रोगी को तीन दिनों से बुखार है। क्षत्रिय १२३",
    "ผู้ป่วยมีไข้มาสามวัน และไอ ๑๒๓ กก.",
    "Bệnh nhân bị sốt ba ngày nay, đau đầu dữ dội.",
    "কান তৈরি করা हिन्दी தமிழ் ភាសាខ្មែរ កាន់តែពិសេសអាច ལྷ་ས 👩‍⚕️ 👨‍👩‍👧‍👦 🙂🏽 😶‍🌫️ ☃ €",
    'def dose(mg: float, kg=70) -> float:\n    """mg/kg"""\n\treturn round(mg / kg, 2)  # µg? α≤β ∑x²\n\n\n',
    '<html>\r\n<body class="x">&nbsp;</body>\r\n</html>\r\n\r\nfor(int i=0;i<10;++i){a[i]=b->c;}//~~~',
    "SELECT * FROM labs WHERE hb<7.5 AND plt>=150000; -- 1e-10 0x1F 1,234,567.89 12345678901234567890",
    "<s>[INST] <<SYS>>\nYou are a doctor.\n<</SYS>>\n\nWhat helps? [/INST] Rest.</s>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<|begin_of_text|><|start_header_id|>user\n\nQ<|eot_id|> <｜User｜>x<｜Assistant｜> <unused7> <2mass>",
    "<start_of_turn>user\nQ<end_of_turn>\n<start_of_turn>model\n [@BOS@] <pad> <mask> <unk> </s> <bos> <eos>",
    "   three blanks,  two,\ttab,\t\ttwo tabs, \n\n\n \n  \n   \n    \n end   ",
    "nbsp\u00a0x ideographic\u3000x em\u2003x zwsp\u200bx bom\ufeffx nel\u0085x ls\u2028x vt\x0bx ff\x0cx nul\x01x",
    "x² ½ Ⅷ ⅷ ① ﬁ ﬂ ﷺ Ǆ ǅ ʰ ª º ™ © § ¶ № ℃ ‰ … “q” ‘q’ «q» – — − × ÷ ± ≈ ≠",
    "ALLCAPS CamelCase camelCase snake_case kebab-case ÉCOLE École éCOLE aÉb ÀÉÎ àéî ÀaÉb iPhone McDonald’s",
    "a'b c''d 'Tis I'LL don't DON'T o'clock 90's '90s rock'n'roll l'œil d’après",
    '=====>>>> ***bold*** __init__ #tag @user a@b.co https://x.org/a?b=c&d=%20e [1,2](3) {"k": [null, true]}',
)
_GLUE = (
    "",
    " ",
    "  ",
    "\n",
    "\n\n",
    " \n",
    "\t",
    ". ",
    ", ",
    "...",
    "'s ",
    "\u00a0",
    "\r\n",
    "-",
    " (",
    ") ",
    "1",
    "99 ",
    "é",
    "\u0301",
    "▁",
    " ▁ ",
)


@cache
def tokenizer_texts() -> tuple[str, ...]:
    """More than 2,000 different texts, the same in every run; with real questions where the shared data are."""
    chance = random.Random(13)
    texts = [
        *SENTENCES,
        *(unicodedata.normalize("NFD", text) for text in SENTENCES),
        "",
        " ",
        "  ",
        "\n",
        "a",
        " a",
    ]
    words = [word for text in SENTENCES for word in text.split()]
    for _ in range(1400):
        parts = chance.choices(words, k=chance.randint(1, 14))
        text = "".join(part + chance.choice(_GLUE) for part in parts)
        texts.append(unicodedata.normalize("NFD", text) if chance.random() < 0.25 else text)
    for _ in range(500):
        sentence = chance.choice(SENTENCES)
        start = chance.randrange(len(sentence))
        texts.append(sentence[start : start + chance.randint(1, 60)])
    for _ in range(300):
        # letters that have been in Unicode for long: versions of its tables differ in newer ones
        first, last = chance.choice(
            ((32, 126), (0xA0, 0x2FF), (0x370, 0x7BF), (0x900, 0x1060), (0x1E00, 0x1FFE))
        )
        texts.append("".join(chr(chance.randint(first, last)) for _ in range(chance.randint(1, 20))))
    if (SHARED / "data").is_dir():
        for task in ("medqa", "pubmedqa", "mmlu-clinical-knowledge"):
            questions = load_task(task, data_dir=SHARED / "data", splits=("test",)).questions("test")[:130]
            texts += [f"Question: {q.text}\nA. {q.options[0]}\nAnswer:" for q in questions]
    return tuple(dict.fromkeys(texts))
