// Names and texts are somebody's data: they go into the page as text, never as markup.

"use strict";

// Control characters, and those that turn the direction of writing or have no width.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;

const SIGNS = { right: "✓", suggestion: "→", other: "✎", drop: "✕", unsure: "?" };
const WORDS = {
  right: "right",
  suggestion: "suggestion",
  other: "other label",
  drop: "drop",
  unsure: "cannot tell",
};

/** Spell out what has no shape, so that a text is what it looks like. */
function readable(text) {
  return String(text).replace(UNSEEN, (sign) => {
    const code = sign.codePointAt(0).toString(16).toUpperCase();
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** Make an element; children are elements, or texts. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  setAttributes(node, attributes);
  for (const child of children) {
    if (child !== null && child !== undefined) {
      node.append(child instanceof Node ? child : readable(child));
    }
  }
  return node;
}

/** Make an element of a drawing. */
function shape(tag, attributes = {}, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(node, attributes);
  if (text !== null) {
    node.textContent = readable(text);
  }
  return node;
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) {
      node.setAttribute(name, readable(value));
    }
  }
}

function byId(id) {
  return document.getElementById(id);
}

/** Write a number as a person would. */
function number(value) {
  if (Number.isNaN(value)) {
    return "–";
  }
  if (Number.isInteger(value) && Math.abs(value) < 1e15) {
    return value.toLocaleString("en");
  }
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

function percent(share) {
  return share === null || Number.isNaN(share) ? "–" : `${Math.round(share * 100)}%`;
}

function counted(n, word) {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}
