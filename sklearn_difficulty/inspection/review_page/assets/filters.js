// The left column: queues, the cut, a text to find, and pairs of classes.

const MOST_MATRIX_CLASSES = 12; // more are a list of the most frequent pairs
const MOST_PAIRS = 25;

const QUEUES = {
  plan: "Plan: blind, in random order",
  suspects: "Suspects, worst first",
  all: "All rows, hardest first",
  decided: "Decided by you",
};

/** Make the choice of a queue; `onChange(name)` is told. */
function makeQueues(names, chosen, onChange) {
  for (const name of names) {
    const radio = element("input", { type: "radio", name: "queue", value: name });
    radio.checked = name === chosen;
    radio.addEventListener("change", () => onChange(name));
    byId("queues").append(
      element(
        "label",
        {},
        radio,
        element("span", {}, QUEUES[name]),
        element("span", { class: "number", id: `count-${name}` }),
      ),
    );
  }
}

/** Fill the choice of a cut, 0.5 first chosen. */
function makeCuts(report, onChange) {
  const select = byId("cut");
  byId("cut-line").hidden = report.cuts.length === 0;
  for (const { cut } of report.cuts) {
    select.append(element("option", { value: cut }, `${Math.round(cut * 100)}%`));
  }
  select.value = "0.5";
  select.addEventListener("change", () => onChange(Number(select.value)));
}

/** Say what a cut is expected to find. */
function expectation(report, cut) {
  const line = report.cuts.find((candidate) => candidate.cut === cut);
  if (!line) {
    return "";
  }
  const { n_dropped: n, precision, precision_low: low, precision_high: high, recall } = line;
  if (n === 0) {
    return "No row is above this cut.";
  }
  return (
    `${counted(n, "row")} above it: expect ${percent(precision)} of them to be wrong ` +
    `(${percent(low)} to ${percent(high)}), and ${percent(recall)} of all wrong labels among them.`
  );
}

/** Draw how many suspects there are of every pair; `onChoose(pair or null)` is told. */
function drawPairs(report, counts, pair, onChoose) {
  const place = byId("pairs");
  if (!report.columns.suggested) {
    return;
  }
  const hadFocus = place.contains(document.activeElement);
  place.replaceChildren(element("h2", {}, "Suspects, given label → suggested"));
  if (counts.size === 0) {
    place.append(element("p", { class: "quiet" }, "None at this cut."));
    return;
  }
  const n = report.classes.length;
  const most = Math.max(...counts.values());
  const button = (given, suggested, words, children) => {
    const count = counts.get(given * n + suggested);
    const isChosen = pair !== null && pair[0] === given && pair[1] === suggested;
    const depth = Math.sqrt(count / most);
    const made = element(
      "button",
      {
        type: "button",
        class: depth > 0.66 ? "most" : depth > 0.33 ? "more" : "some",
        "aria-pressed": String(isChosen),
        "aria-label": words,
        title: words,
        tabindex: "-1",
      },
      ...children,
    );
    made.addEventListener("click", () => onChoose(isChosen ? null : [given, suggested]));
    return made;
  };
  const words = (given, suggested) =>
    `${report.classes[given]} → ${report.classes[suggested]}: ` +
    counted(counts.get(given * n + suggested), "suspect");
  const lines =
    n <= MOST_MATRIX_CLASSES
      ? drawMatrix(report, counts, place, button, words)
      : drawPairList(report, counts, place, button, words);
  roveFocus(lines, hadFocus);
}

/** Draw a matrix; return its buttons line by line, null where there is none. */
function drawMatrix(report, counts, place, button, words) {
  const n = report.classes.length;
  const top = element("tr", {}, element("td", { "aria-hidden": "true" }));
  for (const name of report.classes) {
    top.append(element("th", { scope: "col", title: name }, element("span", {}, name)));
  }
  const body = element("tbody");
  const lines = report.classes.map((name, given) => {
    const line = element("tr", {}, element("th", { scope: "row", title: name }, name));
    const cells = report.classes.map((_, suggested) => {
      const count = counts.get(given * n + suggested);
      const made = count
        ? button(given, suggested, words(given, suggested), [String(count)])
        : null;
      line.append(element("td", {}, made));
      return made;
    });
    body.append(line);
    return cells;
  });
  place.append(element("table", {}, element("thead", {}, top), body));
  return lines;
}

/** Draw a list of the most frequent pairs; return its buttons as lines of one. */
function drawPairList(report, counts, place, button, words) {
  const n = report.classes.length;
  const frequent = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_PAIRS);
  const list = element("ul");
  const lines = frequent.map(([key, count]) => {
    const [given, suggested] = [Math.floor(key / n), key % n];
    const name = `${report.classes[given]} → ${report.classes[suggested]}`;
    const made = button(given, suggested, words(given, suggested), [
      element("span", {}, name),
      element("span", { class: "number" }, String(count)),
    ]);
    list.append(element("li", {}, made));
    return [made];
  });
  place.append(list);
  return lines;
}

/** Let one of many buttons be reached by Tab, and the others from it by the arrows. */
function roveFocus(lines, takeFocus) {
  const buttons = lines.flat().filter((button) => button !== null);
  const first = buttons.find((button) => button.getAttribute("aria-pressed") === "true");
  const start = first ?? buttons[0];
  start.tabIndex = 0;
  if (takeFocus) {
    start.focus();
  }
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  lines.forEach((line, i) =>
    line.forEach((button, j) =>
      button?.addEventListener("keydown", (event) => {
        const step = steps[event.key];
        if (!step) {
          return;
        }
        event.preventDefault();
        let [a, b] = [i + step[0], j + step[1]];
        while (lines[a]?.[b] === null) {
          [a, b] = [a + step[0], b + step[1]];
        }
        const next = lines[a]?.[b];
        if (next) {
          button.tabIndex = -1;
          next.tabIndex = 0;
          next.focus();
        }
      }),
    ),
  );
}
