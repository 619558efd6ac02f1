// What Python has packed: columns of all rows, hardest first, and content of some. A row's place in
// these columns is its "position"; "row" is its position in X.

const ARRAYS = {
  float32: Float32Array,
  int8: Int8Array,
  int32: Int32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};
const MISSING_SHARE = 255;

/** Return the numbers of a column. */
async function unpacked(column) {
  const letters = atob(column.data);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) {
    bytes[i] = letters.charCodeAt(i);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new ARRAYS[column.type](await new Response(stream).arrayBuffer());
}

/** Return the report with its numbers unpacked and what is looked up often. */
async function loadReport() {
  const report = JSON.parse(byId("report").textContent);
  const { columns, content } = report;
  await Promise.all(
    Object.keys(columns).map(async (name) => {
      columns[name] = await unpacked(columns[name]);
    }),
  );
  content.rows = await unpacked(content.rows);
  if (content.neighbors) {
    content.neighbors = await unpacked(content.neighbors);
  }
  if (content.table) {
    await unpackTable(content.table);
  }
  report.size = columns.row.length;
  report.isPlanned = new Uint8Array(report.size);
  report.plan.listed = report.plan.positions.filter((position) => position >= 0);
  for (const position of report.plan.listed) {
    report.isPlanned[position] = 1;
  }
  report.contentAt = new Int32Array(report.size).fill(-1);
  content.rows.forEach((position, i) => {
    if (position >= 0) {
      report.contentAt[position] = i;
    }
  });
  report.positionOf = new Int32Array(report.n_rows).fill(-1); // by row
  columns.row.forEach((row, position) => {
    report.positionOf[row] = position;
  });
  return report;
}

async function unpackTable(table) {
  for (const name of ["values", "medians", "spreads"]) {
    table.numbers[name] = await unpacked(table.numbers[name]);
  }
  for (const category of table.categories) {
    category.codes = await unpacked(category.codes);
    category.shares = await unpacked(category.shares);
  }
}

/** Return a number in [0, 1] that was packed in a byte. */
function share(byte) {
  return byte === MISSING_SHARE ? NaN : byte / (MISSING_SHARE - 1);
}

function idOf(report, position) {
  return report.ids ? report.ids[position] : `#${report.columns.row[position]}`;
}

function givenName(report, position) {
  return report.classes[report.columns.given[position]];
}

/** Return the suggested class, or null where no other label is better. */
function betterClass(report, position) {
  const { given, suggested } = report.columns;
  return suggested && suggested[position] !== given[position] ? suggested[position] : null;
}

/** Return the text of a row, if the file holds one. */
function textOf(report, position) {
  const i = report.contentAt[position];
  return i >= 0 && report.content.texts ? report.content.texts[i] : null;
}

/** Return the address of a row's picture, the larger one if asked, if the file holds one. */
function pictureOf(report, position, { isLarge = false } = {}) {
  const i = report.contentAt[position];
  const { pictures, larger } = report.content;
  if (i < 0 || !pictures) {
    return null;
  }
  return `data:image/webp;base64,${(isLarge && larger?.[i]) || pictures[i]}`;
}
