// A listbox of any length, of which only the rows in view are elements.

const ROW_HEIGHT = 48;
const TALLEST = 370_000 * ROW_HEIGHT; // pixels that every browser can lay out
const BEYOND = 3; // rows above and below what is in view

class RowList {
  /** `draw(position)` returns the children of a row; `onSelect(position)` is told of a choice. */
  constructor(draw, onSelect) {
    this.box = byId("list");
    this.sheet = byId("sheet");
    this.draw = draw;
    this.onSelect = onSelect;
    this.positions = [];
    this.selected = -1; // index among positions
    this.drawn = new Map(); // elements by index
    this.box.addEventListener("scroll", () => this.#later());
    this.box.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => this.#later()).observe(this.box);
  }

  get position() {
    return this.positions[this.selected];
  }

  /** List other rows; keep the selected one if it is among them, or take the first. */
  show(positions, keep = this.position) {
    this.positions = positions;
    this.sheet.style.height = `${Math.min(TALLEST, positions.length * ROW_HEIGHT)}px`;
    this.#clear();
    const index = keep === undefined ? -1 : positions.indexOf(keep);
    this.select(index >= 0 ? index : 0);
  }

  /** Select a row by its index and bring it into view. */
  select(index) {
    this.selected = Math.max(0, Math.min(index, this.positions.length - 1));
    if (this.positions.length === 0) {
      this.selected = -1;
    }
    this.#intoView();
    this.#render();
    this.onSelect(this.position);
  }

  move(steps) {
    this.select(this.selected + steps);
  }

  /** Draw all rows in view anew. */
  refresh() {
    this.#clear();
    this.#render();
  }

  get pageLength() {
    return Math.max(1, Math.floor(this.box.clientHeight / ROW_HEIGHT) - 1);
  }

  /** How many pixels of the rows stand for one pixel of the scroll bar. */
  get #scale() {
    const height = this.box.clientHeight;
    const rows = this.positions.length * ROW_HEIGHT - height;
    const sheet = Math.min(TALLEST, this.positions.length * ROW_HEIGHT) - height;
    return sheet > 0 ? rows / sheet : 1;
  }

  #intoView() {
    const scale = this.#scale;
    const top = this.selected * ROW_HEIGHT;
    const seen = this.box.scrollTop * scale;
    if (top < seen) {
      this.box.scrollTop = Math.floor(top / scale);
    } else if (top + ROW_HEIGHT > seen + this.box.clientHeight) {
      this.box.scrollTop = Math.ceil((top + ROW_HEIGHT - this.box.clientHeight) / scale);
    }
  }

  #later() {
    if (!this.isWaiting) {
      this.isWaiting = true;
      requestAnimationFrame(() => {
        this.isWaiting = false;
        this.#render();
      });
    }
  }

  #clear() {
    this.drawn.clear();
    this.sheet.replaceChildren();
  }

  #render() {
    const offset = this.box.scrollTop;
    const top = offset * this.#scale;
    const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - BEYOND);
    const end = Math.min(
      this.positions.length,
      Math.ceil((top + this.box.clientHeight) / ROW_HEIGHT) + BEYOND,
    );
    for (const [index, row] of this.drawn) {
      // The selected row stays: the listbox refers to it.
      if ((index < first || index >= end) && index !== this.selected) {
        row.remove();
        this.drawn.delete(index);
      }
    }
    for (let index = first; index < end; index++) {
      this.#rowAt(index);
    }
    if (this.selected >= 0) {
      this.#rowAt(this.selected);
      this.box.setAttribute("aria-activedescendant", `row-${this.selected}`);
    } else {
      this.box.removeAttribute("aria-activedescendant");
    }
    for (const [index, row] of this.drawn) {
      row.style.top = `${index * ROW_HEIGHT - top + offset}px`;
      row.setAttribute("aria-selected", String(index === this.selected));
    }
  }

  #rowAt(index) {
    if (!this.drawn.has(index)) {
      const row = element(
        "div",
        {
          id: `row-${index}`,
          class: "row",
          role: "option",
          "aria-setsize": this.positions.length,
          "aria-posinset": index + 1,
        },
        ...this.draw(this.positions[index]),
      );
      this.drawn.set(index, row);
      this.sheet.append(row);
    }
  }

  #clicked(event) {
    const row = event.target.closest(".row");
    if (row) {
      this.select(Number(row.id.slice("row-".length)));
    }
  }
}
