// What the reviewer has decided, the way back, and a copy that the browser keeps.

const FORMAT = "sklearn_difficulty.review";
const VERSION = 1;

class Decisions {
  constructor(report) {
    this.report = report;
    this.made = new Map(); // by position: { decision, label }
    this.history = []; // lists of [position, what was decided before]
    this.isSaved = true;
    this.key = `${FORMAT}.${report.fingerprint}`;
  }

  get(position) {
    return this.made.get(position);
  }

  /** Whether suggestion and scores of a row must not be seen yet. */
  isHidden(position) {
    return this.report.blind && this.report.isPlanned[position] === 1 && !this.made.has(position);
  }

  set(changes) {
    this.history.push(changes.map(([position]) => [position, this.made.get(position)]));
    for (const [position, decided] of changes) {
      this.made.set(position, decided);
    }
    this.isSaved = false;
    this.keep();
  }

  /** Take the last change back; return the row it was about, or null. */
  undo() {
    const changes = this.history.pop();
    if (!changes) {
      return null;
    }
    for (const [position, before] of changes) {
      if (before) {
        this.made.set(position, before);
      } else {
        this.made.delete(position);
      }
    }
    this.isSaved = false;
    this.keep();
    return changes[0][0];
  }

  plannedCount() {
    return this.report.plan.listed.filter((position) => this.made.has(position)).length;
  }

  /** Return what the file of decisions holds. */
  toJSON() {
    const { report } = this;
    const decisions = [...this.made].map(([position, { decision, label }]) => ({
      row: report.columns.row[position],
      decision,
      label,
    }));
    decisions.sort((a, b) => a.row - b.row);
    return {
      format: FORMAT,
      version: VERSION,
      fingerprint: report.fingerprint,
      n_rows: report.n_rows,
      classes: report.classes,
      plan: { rows: report.plan.rows, weight: report.plan.weight },
      decisions,
    };
  }

  /** Return the changes that a file of decisions asks for; what does not fit is refused. */
  changesOf(text) {
    let file;
    try {
      file = JSON.parse(text);
    } catch {
      throw new Error("This is not a file of decisions.");
    }
    if (file?.format !== FORMAT || file.version !== VERSION || !Array.isArray(file.decisions)) {
      throw new Error("This is not a file of decisions.");
    }
    if (file.fingerprint !== this.report.fingerprint || file.n_rows !== this.report.n_rows) {
      throw new Error("These decisions are about another report; nothing was loaded.");
    }
    const n = this.report.classes.length;
    return file.decisions.map(({ row, decision, label }) => {
      const isLabel = Number.isInteger(label) && label >= 0 && label < n;
      const needsLabel = decision === "suggestion" || decision === "other";
      if (!Object.hasOwn(WORDS, decision) || (label !== null && !isLabel)) {
        throw new Error("A decision in this file is damaged; nothing was loaded.");
      }
      const position = this.report.positionOf[row] ?? -1;
      if (position < 0) {
        throw new Error(`Row ${row} is not in this page; nothing was loaded.`);
      }
      return [position, { decision, label: needsLabel ? label : null }];
    });
  }

  /** Keep a copy in the browser, which may not allow it. */
  keep() {
    const copy = { ...this.toJSON(), isSaved: this.isSaved };
    try {
      localStorage.setItem(this.key, JSON.stringify(copy));
    } catch {
      // Files, private windows and frames may have no storage; saving to a file always works.
    }
  }

  /** Take up what the browser has kept; return how many decisions. */
  restore() {
    let text = null;
    try {
      text = localStorage.getItem(this.key);
    } catch {
      return 0;
    }
    if (text === null) {
      return 0;
    }
    try {
      this.made = new Map(this.changesOf(text));
      this.isSaved = JSON.parse(text).isSaved === true;
    } catch {
      return 0;
    }
    return this.made.size;
  }
}
