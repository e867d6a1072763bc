// The questions: found by words and filters, listed as far as they are in view, shown one at a time.
// Whatever comes from the data becomes text of an element; nothing is ever read as markup.

/**
 * What one model gave as its answer.
 * @typedef {{prediction: number | null, shares: number[], text: string, thought: string, near: boolean, flipped: boolean | null}} Given
 */
/**
 * One question of one comparison.
 * @typedef {object} Asked
 * @property {string} id
 * @property {string} subject
 * @property {string} text
 * @property {string[]} options
 * @property {number} answer
 * @property {string[]} pictures
 * @property {string} task
 * @property {number} shots
 * @property {string | null} thinkers
 * @property {string} where name of the comparison
 * @property {Given} medical
 * @property {Given} base
 * @property {string} outcome
 * @property {string} link
 * @property {string} [words] what a search looks at, made when the first one does
 */

const OUTCOMES = {
  all: "all",
  medical: "only medical right",
  base: "only base right",
  both: "both right",
  neither: "both wrong",
};
const THINKERS = { both: "both models", medical: "the medical model", none: "nobody" };
const BEYOND = 6; // rows that are drawn beyond those in view
const WHOLE = 40; // so many questions that match are printed whole
const PRINTED = 300; // and so many as a line of a table
const SHORT = 110; // characters of a question in such a line

/**
 * A new element.
 * @param {string} tag
 * @param {string} name its class
 * @param {...(Node | string)} content
 */
function element(tag, name, ...content) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...content);
  return made;
}

/** An element whose text comes from the data, and may run from right to left. */
function foreign(tag, name, text) {
  const made = element(tag, name, text);
  made.dir = "auto";
  return made;
}

/** @param {string} id */
const by = (id) => document.getElementById(id);
const several = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const letter = (index) => (index < 26 ? String.fromCharCode(65 + index) : String(index + 1));

/**
 * The questions of the file, as `questions.py` packs them.
 * @param {string} packed
 */
async function read(packed) {
  const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  const data = JSON.parse(new TextDecoder().decode(await unpacked(bytes)));
  const given = ([prediction, shares, text, thought, near, flipped]) => ({ prediction, shares, text, thought, near, flipped });
  /** @type {Asked[]} */
  const all = data.rows.map(([question, comparison, first, second]) => {
    const [id, subject, text, options, answer, pictures] = data.questions[question];
    const [task, shots, thinkers, where] = data.comparisons[comparison];
    const medical = given(first), base = given(second);
    const right = (side) => side.prediction === answer;
    const outcome = right(medical) ? (right(base) ? "both" : "medical") : right(base) ? "base" : "neither";
    const parts = [task, shots, id, ...(thinkers === null ? [] : [thinkers])];
    const link = `#q=${parts.map(encodeURIComponent).join("/")}`;
    return { id, subject, text, options, answer, pictures, task, shots, thinkers, where, medical, base, outcome, link };
  });
  return { names: { medical: data.names[0], base: data.names[1] }, pictures: data.pictures, all };
}

/**
 * @param {{names: {medical: string, base: string}, pictures: Record<string, string>, all: Asked[]}} data
 */
function browse({ names, pictures, all }) {
  const list = by("list"), length = by("length"), shown = by("question");
  const height = 4 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  /** @type {Asked[]} */
  let matches = [];
  let active = -1;

  // filters

  const radios = Object.entries(OUTCOMES).map(([value, name]) => {
    const input = element("input", "");
    Object.assign(input, { type: "radio", name: "outcome", value, id: `outcome-${value}`, checked: value === "all" });
    const label = element("label", "", name);
    label.htmlFor = input.id;
    by("outcomes").append(input, label);
    input.addEventListener("change", apply);
    return { value, name, input, label };
  });
  const selects = { task: "task", shots: "shots", thinkers: "thinkers", subject: "subject" };
  for (const [id, key] of Object.entries(selects)) {
    const values = [...new Set(all.map((asked) => asked[key]))].filter((value) => value !== "" && value !== null);
    if (id === "shots") values.sort((a, b) => a - b);
    if (id === "subject") values.sort();
    by(id).append(new Option("all", ""));
    for (const value of values) {
      const name = id === "shots" ? `${value}-shot` : id === "thinkers" ? THINKERS[value] : String(value);
      by(id).append(new Option(name, String(value)));
    }
    by(id).parentElement.hidden = values.length < (id === "task" || id === "subject" ? 1 : 2);
    by(id).addEventListener("change", apply);
  }
  for (const id of ["near", "flipped"]) by(id).addEventListener("change", apply);
  by("flipped").parentElement.hidden = all.every(({ medical, base }) => medical.flipped === null && base.flipped === null);

  let waiting = 0;
  by("words").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 150);
  });
  by("words").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && by("words").value) {
      by("words").value = "";
      event.stopPropagation();
      apply();
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      list.focus();
    }
  });
  by("clear").addEventListener("click", () => {
    clear();
    apply();
  });

  function clear() {
    by("words").value = "";
    for (const id of Object.keys(selects)) by(id).value = "";
    by("near").checked = by("flipped").checked = false;
    radios[0].input.checked = true;
  }

  /** @param {Asked} asked */
  function searched(asked) {
    asked.words ??= [asked.id, asked.text, ...asked.options, asked.medical.text, asked.base.text, asked.medical.thought, asked.base.thought]
      .join("\n")
      .toLowerCase();
    return asked.words;
  }

  const chosen = () => radios.find(({ input }) => input.checked).value;

  /** Those that all filters but the outcome let through. */
  function found() {
    const words = by("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Object.entries(selects).map(([id, key]) => [key, by(id).value]).filter(([, value]) => value !== "");
    const near = by("near").checked, flipped = by("flipped").checked;
    return all.filter(
      (asked) =>
        wanted.every(([key, value]) => String(asked[key]) === value) &&
        (!near || asked.medical.near || asked.base.near) &&
        (!flipped || asked.medical.flipped || asked.base.flipped) &&
        words.every((word) => searched(asked).includes(word)),
    );
  }

  function apply() {
    clearTimeout(waiting);
    const before = matches[active];
    const others = found();
    const counts = { all: others.length, medical: 0, base: 0, both: 0, neither: 0 };
    for (const { outcome } of others) counts[outcome]++;
    for (const { value, name, label } of radios) label.textContent = `${name} (${counts[value].toLocaleString("en")})`;
    const outcome = chosen();
    matches = outcome === "all" ? others : others.filter((asked) => asked.outcome === outcome);
    by("count").textContent = counted();
    length.style.height = `${matches.length * height}px`;
    const kept = before === undefined ? -1 : matches.indexOf(before);
    if (kept < 0) list.scrollTop = 0;
    select(kept < 0 ? (matches.length ? 0 : -1) : kept, kept >= 0);
  }

  function counted() {
    const of = matches.length === all.length ? several(all.length, "question") : `${matches.length.toLocaleString("en")} of ${several(all.length, "question")}`;
    const number = (outcome) => matches.filter((asked) => asked.outcome === outcome).length.toLocaleString("en");
    if (!matches.length) return `${of}: nothing matches`;
    return `${of}: ${number("medical")} only medical right, ${number("base")} only base right, ${number("both")} both right, ${number("neither")} both wrong`;
  }

  // the list

  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / height) - BEYOND);
    const last = Math.min(matches.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + BEYOND);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(row(place));
    length.replaceChildren(...rows);
    if (active >= first && active < last) list.setAttribute("aria-activedescendant", `row-${active}`);
    else list.removeAttribute("aria-activedescendant");
  }

  /** @param {number} place */
  function row(place) {
    const asked = matches[place];
    const made = element(
      "div",
      "row",
      element("span", "top", foreign("span", "which", `${asked.where} · ${asked.id}`), element("span", `only-${asked.outcome}`, OUTCOMES[asked.outcome])),
      foreign("span", "what", asked.text.slice(0, 200).replaceAll("\n", " ")),
    );
    made.id = `row-${place}`;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", String(place === active));
    made.setAttribute("aria-posinset", String(place + 1));
    made.setAttribute("aria-setsize", String(matches.length));
    made.style.top = `${place * height}px`;
    made.dataset.place = String(place);
    return made;
  }

  let drawing = 0;
  function drawSoon() {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      draw();
    });
  }
  list.addEventListener("scroll", drawSoon);
  new ResizeObserver(drawSoon).observe(list);

  list.addEventListener("click", (event) => {
    const hit = event.target.closest(".row");
    if (!hit) return;
    select(Number(hit.dataset.place), false, true);
    if (shown.getBoundingClientRect().top > innerHeight * 0.8) shown.scrollIntoView({ block: "nearest" });
  });
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / height) - 1);
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: matches.length - 1 }[event.key];
    if (to !== undefined && matches.length) {
      event.preventDefault();
      select(Math.min(Math.max(to, 0), matches.length - 1), false, true);
    } else if (event.key === "Enter") {
      event.preventDefault();
      shown.focus();
      shown.scrollIntoView({ block: "nearest" });
    }
  });
  by("browser").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement !== list) list.focus();
  });

  let told = 0;
  /**
   * Show one of those that match.
   * @param {number} place -1 for none
   * @param {boolean} [same] it is shown already
   * @param {boolean} [tell] write it into the address, so that it can be passed on
   */
  function select(place, same = false, tell = false) {
    active = place;
    const top = place * height;
    if (place >= 0 && top < list.scrollTop) list.scrollTop = top;
    else if (place >= 0 && top + height > list.scrollTop + list.clientHeight) list.scrollTop = top + height - list.clientHeight;
    draw();
    if (!same) shown.replaceChildren(...(place < 0 ? [] : [whole(matches[place])]));
    if (tell) {
      clearTimeout(told); // browsers count how often an address is written
      const { link } = matches[place];
      told = setTimeout(() => history.replaceState(null, "", link), 300);
    }
  }

  // one question

  /** @param {Asked} asked */
  function whole(asked) {
    const link = element("a", "", "link to this question");
    link.href = asked.link;
    const where = element("p", "where", foreign("span", "", asked.where), foreign("span", "", asked.id), ...(asked.subject ? [foreign("span", "", asked.subject)] : []), link);
    const images = asked.pictures.map((picture, number) => {
      const name = `picture ${number + 1} of ${asked.pictures.length}`;
      if (!pictures[picture]) return element("span", "quiet", `${name}: not in this file (sha256 ${picture})`);
      const image = element("img", "");
      Object.assign(image, { alt: name, src: `data:image/jpeg;base64,${pictures[picture]}` });
      return image;
    });
    const options = element("ol", "options", ...asked.options.map((text, index) => option(asked, text, index)));
    const body = [foreign("p", "text", asked.text), ...(images.length ? [element("div", "pictures", ...images)] : []), options];
    const said = ["medical", "base"].flatMap((role) => written(role, asked[role]));
    return element("div", "asked", where, ...body, element("p", "outcome", element("span", `only-${asked.outcome}`, OUTCOMES[asked.outcome]), ...remarks(asked)), ...said);
  }

  function remarks(asked) {
    const said = [];
    for (const role of ["medical", "base"]) {
      const { prediction, near, flipped } = asked[role];
      if (prediction === null) said.push(`${names[role]}: no option found in its answer`);
      if (near) said.push(`${names[role]}: near-tie`);
      if (flipped) said.push(`${names[role]}: flipped, another option at the other precision`);
    }
    return said.length ? [`; ${said.join("; ")}`] : [];
  }

  function option(asked, text, index) {
    const content = foreign("span", "option", text);
    if (index === asked.answer) content.append(element("span", "tag", "✓ correct"));
    const bars = ["medical", "base"].map((role) => {
      const { prediction, shares } = asked[role];
      const track = element("span", shares.length ? "track" : "");
      if (shares.length) {
        const fill = element("span", "fill");
        fill.style.width = `${100 * shares[index]}%`;
        track.append(fill);
      }
      const share = shares.length ? `${(100 * shares[index]).toFixed(1)} %` : "";
      return element("div", role, element("span", "", role), track, element("span", "share", share), element("span", "chosen", prediction === index ? "chosen" : ""));
    });
    return element("li", index === asked.answer ? "correct" : "", element("span", "letter", letter(index)), content, element("div", "given", ...bars));
  }

  /**
   * What a model wrote and thought, folded.
   * @param {"medical" | "base"} role
   * @param {Given} given
   */
  function written(role, given) {
    const parts = [["thought", given.thought], ["wrote", given.text]].filter(([, text]) => text);
    return parts.map(([verb, text]) =>
      element("details", "", element("summary", "", `What ${names[role]} ${verb} (${several(text.length, "character")})`), foreign("pre", "", text)),
    );
  }

  // addresses

  /** Show the question that the address names, whatever the filters hide. */
  function follow() {
    if (!location.hash.startsWith("#q=")) return;
    const parts = location.hash.slice(3).split("/").map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
    const thinkers = parts.length > 3 && parts[parts.length - 1] in THINKERS ? parts.pop() : null;
    const [task, shots, ...id] = parts;
    const asked = all.find(
      (one) => one.task === task && String(one.shots) === shots && one.id === id.join("/") && (thinkers === null || one.thinkers === thinkers),
    );
    if (!asked) {
      by("state").textContent = "The question that the address names is not in this file.";
      return;
    }
    by("state").textContent = "";
    if (!matches.includes(asked)) {
      clear();
      apply();
    }
    select(matches.indexOf(asked));
    shown.scrollIntoView();
    shown.focus({ preventScroll: true });
  }
  addEventListener("hashchange", follow);

  // print

  addEventListener("beforeprint", () => {
    const filters = [
      ...Object.keys(selects).filter((id) => by(id).value).map((id) => by(id).selectedOptions[0].textContent),
      ...["near", "flipped"].filter((id) => by(id).checked).map((id) => (id === "near" ? "near-tie" : "flipped")),
      ...(chosen() === "all" ? [] : [OUTCOMES[chosen()]]),
      ...(by("words").value.trim() ? [`with “${by("words").value.trim()}”`] : []),
    ];
    const said = foreign("p", "", `${counted()}.${filters.length ? ` Filters: ${filters.join(", ")}.` : ""}`);
    const decide = filters.length ? matches : matches.filter(({ outcome }) => outcome === "medical" || outcome === "base");
    by("printed").replaceChildren(said, ...(decide.length <= WHOLE ? decide.map(whole) : [summary(decide, filters.length > 0)]));
    by("printed").querySelectorAll("details").forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => by("printed").replaceChildren());

  /**
   * Many questions in a line each.
   * @param {Asked[]} listed
   * @param {boolean} filtered
   */
  function summary(listed, filtered) {
    const cells = (tag, texts) => element("tr", "", ...texts.map((text) => foreign(tag, "", text)));
    const side = (asked, role) => (asked[role].prediction === null ? "none" : letter(asked[role].prediction));
    const rows = listed.slice(0, PRINTED).map((asked) => {
      const text = asked.text.replaceAll("\n", " ");
      return cells("td", [asked.where, asked.id, text.length > SHORT ? `${text.slice(0, SHORT)}…` : text, letter(asked.answer), side(asked, "medical"), side(asked, "base"), OUTCOMES[asked.outcome]]);
    });
    const head = element("thead", "", cells("th", ["comparison", "question", "text, shortened", "answer", "medical", "base", "outcome"]));
    const more = listed.length - rows.length;
    const what = filtered ? "" : "Listed are the questions that only one of the two answers correctly: they decide the verdicts. ";
    const rest = `${what}${more ? `${several(more, "question")} more of them are in the file. ` : ""}Up to ${WHOLE} questions that the filters leave are printed whole.`;
    return element("div", "", element("p", "quiet", rest), element("table", "", head, element("tbody", "", ...rows)));
  }

  by("browser").hidden = false;
  by("state").textContent = "";
  apply();
  follow();
}

if (by("packed")) {
  by("state").textContent = "Reading the questions …";
  read(JSON.parse(by("packed").textContent))
    .then(browse)
    .catch((error) => (by("state").textContent = `The questions cannot be shown: ${error.message}.`));
}
