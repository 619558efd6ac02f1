// Which rows are listed, and in which order. Rows of the plan that are still to be judged blind are
// in no queue whose members or order would tell what the scorer thinks of them.

/** Whether the scorer suspects a row, at the cut that was chosen. */
function isSuspect(report, position, cut) {
  const { error } = report.columns;
  return error ? error[position] > cut : betterClass(report, position) !== null;
}

/** Return the positions of a queue. */
function queued(report, decisions, queue, cut) {
  if (queue === "plan") {
    return report.plan.listed;
  }
  if (queue === "decided") {
    return [...decisions.made.keys()].sort((a, b) => a - b);
  }
  const open = [];
  const hidden = [];
  for (let position = 0; position < report.size; position++) {
    if (decisions.isHidden(position)) {
      hidden.push(position);
    } else if (queue === "all" || isSuspect(report, position, cut)) {
      open.push(position);
    }
  }
  if (queue === "suspects") {
    return open;
  }
  const { row } = report.columns;
  return open.concat(hidden.sort((a, b) => row[a] - row[b]));
}

/** Return those rows that are of a pair of classes and hold a text. */
function filtered(report, decisions, positions, { pair, query }) {
  const { given, suggested } = report.columns;
  const wanted = query.trim().toLowerCase();
  return positions.filter((position) => {
    if (pair) {
      const isPair = given[position] === pair[0] && suggested[position] === pair[1];
      if (!isPair || decisions.isHidden(position)) {
        return false;
      }
    }
    return wanted === "" || holds(report, decisions, position, wanted);
  });
}

/** Whether the id, the text or a label of a row holds a text. */
function holds(report, decisions, position, wanted) {
  const texts = [idOf(report, position), givenName(report, position)];
  const text = textOf(report, position);
  if (text !== null) {
    texts.push(text);
  }
  const better = betterClass(report, position);
  if (better !== null && !decisions.isHidden(position)) {
    texts.push(report.classes[better]);
  }
  return texts.some((candidate) => candidate.toLowerCase().includes(wanted));
}

/** Return how many suspects there are of every pair of classes, by given * n_classes + suggested. */
function pairCounts(report, decisions, cut) {
  const { given, suggested } = report.columns;
  const n = report.classes.length;
  const counts = new Map();
  for (let position = 0; position < report.size; position++) {
    if (betterClass(report, position) === null || !isSuspect(report, position, cut)) {
      continue;
    }
    if (!decisions.isHidden(position)) {
      const key = given[position] * n + suggested[position];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}
