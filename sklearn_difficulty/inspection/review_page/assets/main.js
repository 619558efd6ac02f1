// The page: what is listed, what keys and buttons do.

async function start() {
  const report = await loadReport();
  const decisions = new Decisions(report);
  const restored = decisions.restore();
  const names = queueNames(report);
  const view = { queue: names[0], cut: 0.5, pair: null, query: "" };

  const list = new RowList(
    (position) => rowChildren(report, decisions, position),
    (position) => showCard(report, decisions, position),
  );

  function say(words) {
    byId("status").textContent = readable(words);
  }

  /** List what the filters ask for. */
  function relist(keep) {
    const all = queued(report, decisions, view.queue, view.cut);
    const isFiltered = view.pair !== null || view.query.trim() !== "";
    const positions = isFiltered ? filtered(report, decisions, all, view) : all;
    list.show(positions, keep);
    byId("clear").hidden = !isFiltered;
    const of = isFiltered ? ` of ${all.length.toLocaleString("en")}` : "";
    byId("listed-count").textContent = `${positions.length.toLocaleString("en")}${of} rows`;
  }

  /** Count queues, pairs and progress anew. */
  function recount() {
    for (const name of names) {
      const n = queued(report, decisions, name, view.cut).length;
      byId(`count-${name}`).textContent = n.toLocaleString("en");
    }
    const isBlind = report.plan.listed.some((position) => decisions.isHidden(position));
    byId("expected").textContent =
      expectation(report, view.cut) + (isBlind ? " Undecided plan rows are left out." : "");
    drawPairs(report, pairCounts(report, decisions, view.cut), view.pair, (pair) => {
      view.pair = pair;
      if (pair !== null) {
        chooseQueue("suspects");
      } else {
        relist();
        recount();
      }
    });
  }

  function showProgress() {
    const planned = report.plan.listed.length;
    const done = decisions.plannedCount();
    byId("plan-words").textContent = planned ? `Plan: ${done} of ${planned} rows` : "";
    byId("plan-progress").hidden = planned === 0;
    byId("plan-progress").max = Math.max(1, planned);
    byId("plan-progress").value = done;
    const unsaved = decisions.isSaved ? "" : ", not saved to a file";
    byId("count").textContent = `${decisions.made.size.toLocaleString("en")} decided${unsaved}`;
  }

  function chooseQueue(name) {
    view.queue = name;
    document.querySelector(`#queues [value=${name}]`).checked = true;
    relist();
    recount();
  }

  /** Decide about the selected row and go on to the next. */
  function decide(decision, label = null) {
    const position = list.position;
    if (position === undefined) {
      return;
    }
    if (decision === "suggestion") {
      label = betterClass(report, position);
      if (decisions.isHidden(position)) {
        say("The suggestion is hidden until you have decided about this row of the plan.");
        return;
      }
      if (label === null) {
        say("No better label is suggested for this row.");
        return;
      }
    }
    const wasHidden = decisions.isHidden(position);
    decisions.set([[position, { decision, label }]]);
    say(`Row ${idOf(report, position)}: ${decisionWords(report, { decision, label })}.`);
    afterChange(wasHidden);
    const planned = report.plan.listed.length;
    if (view.queue === "plan" && planned && decisions.plannedCount() === planned) {
      say("The plan is done. Save the decisions with e, or go on with the suspects.");
    }
    list.move(1);
  }

  function afterChange(countAll) {
    list.refresh();
    showProgress();
    if (countAll) {
      recount();
    } else {
      byId("count-decided").textContent = decisions.made.size.toLocaleString("en");
    }
  }

  function undo() {
    const position = decisions.undo();
    if (position === null) {
      say("There is nothing to undo.");
      return;
    }
    afterChange(true);
    relist(position);
    say(`Row ${idOf(report, position)}: taken back.`);
  }

  function save() {
    download("review-decisions.json", "application/json", JSON.stringify(decisions));
    decisions.isSaved = true;
    decisions.keep();
    showProgress();
    say(`${counted(decisions.made.size, "decision")} saved as review-decisions.json.`);
  }

  async function load(file) {
    try {
      const changes = decisions.changesOf(await file.text());
      if (changes.length) {
        decisions.set(changes);
      }
      afterChange(true);
      relist();
      say(`${counted(changes.length, "decision")} loaded.`);
    } catch (error) {
      say(error.message);
    }
  }

  function setOther() {
    const chosen = byId("other-label").value;
    if (chosen === "") {
      say("Choose a label first.");
      return;
    }
    const label = Number(chosen);
    const position = list.position;
    if (label === report.columns.given[position]) {
      decide("right");
    } else if (label === betterClass(report, position) && !decisions.isHidden(position)) {
      decide("suggestion");
    } else {
      decide("other", label);
    }
    list.box.focus();
  }

  const keys = {
    k: () => decide("right"),
    s: () => decide("suggestion"),
    o: () => byId("other-label").focus(),
    d: () => decide("drop"),
    x: () => decide("unsure"),
    u: undo,
    e: save,
    ArrowDown: () => list.move(1),
    ArrowUp: () => list.move(-1),
    PageDown: () => list.move(list.pageLength),
    PageUp: () => list.move(-list.pageLength),
    Home: () => list.select(0),
    End: () => list.select(list.positions.length - 1),
  };

  list.box.addEventListener("keydown", (event) => {
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      action();
    }
  });
  for (const button of document.querySelectorAll("#actions [data-decision]")) {
    button.addEventListener("click", () => decide(button.dataset.decision));
    button.hidden = button.dataset.decision === "suggestion" && !report.columns.suggested;
  }
  byId("other").addEventListener("submit", (event) => {
    event.preventDefault();
    setOther();
  });
  byId("other-label").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && byId("other-label").value !== "") {
      event.preventDefault();
      setOther();
    } else if (event.key === "Escape") {
      list.box.focus();
    }
  });
  byId("save").addEventListener("click", save);
  byId("undo").addEventListener("click", undo);
  byId("load").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", async () => {
    const [file] = byId("file").files;
    if (file) {
      await load(file);
    }
    byId("file").value = "";
  });
  byId("table").addEventListener("click", () => {
    download("review-decisions.csv", "text/csv", decisionTable(report, decisions));
  });
  byId("find").addEventListener("input", () => {
    view.query = byId("find").value;
    relist();
  });
  byId("clear").addEventListener("click", () => {
    view.pair = null;
    view.query = byId("find").value = "";
    relist();
    recount();
    list.box.focus();
  });
  addEventListener("beforeunload", (event) => {
    if (!decisions.isSaved) {
      event.preventDefault();
    }
  });

  byId("title").textContent = readable(report.title);
  byId("summary").textContent = readable(report.sentences.join(" "));
  showNotice(report);
  byId("other-label").append(element("option", { value: "" }, "choose …"));
  report.classes.forEach((name, code) => {
    byId("other-label").append(element("option", { value: code }, name));
  });
  byId("find-words").textContent =
    report.content.kind === "texts" ? "Find an id, a label, a text" : "Find an id or a label";
  document.querySelector("#filters details").open = !matchMedia("(max-width: 980px)").matches;
  makeQueues(names, view.queue, (name) => {
    view.pair = null;
    chooseQueue(name);
  });
  makeCuts(report, (cut) => {
    view.cut = cut;
    view.pair = null;
    relist();
    recount();
  });
  showProgress();
  recount();
  relist();
  if (window === window.parent) {
    list.box.focus({ preventScroll: true });
  }
  if (restored) {
    say(`${counted(restored, "decision")} from before, kept by this browser.`);
  }
  performance.mark("ready");
  document.documentElement.dataset.ready = "true";
}

/** Return the queues that this report has. */
function queueNames(report) {
  const names = ["all", "decided"];
  if (report.columns.error || report.columns.suggested) {
    names.unshift("suspects");
  }
  if (report.plan.listed.length) {
    names.unshift("plan");
  }
  return names;
}

/** Say what the file leaves out. */
function showNotice(report) {
  const words = [];
  if (report.size < report.n_rows) {
    words.push(`These are ${report.size.toLocaleString("en")} of the rows.`);
  }
  if (report.n_without_content) {
    const { kind } = report.content;
    words.push(
      `To keep the file small, ${counted(report.n_without_content, "row")} worth a look have no ` +
        `${kind} here.`,
    );
  }
  byId("notice").hidden = words.length === 0;
  byId("notice").textContent = words.join(" ");
}

start().catch((error) => {
  byId("summary").textContent = `This page could not be read: ${error.message}`;
});
