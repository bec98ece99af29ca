// Create and update nodes. All text is inserted as text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element with attributes and children; strings become text nodes. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Return an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  set(node, attributes);
  node.append(...children);
  return node;
}

/** Set the attributes that differ; null removes an attribute. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
  return node;
}

/** Set a node's text if it differs, to avoid repainting and repeated screen-reader output. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  return node;
}

/**
 * Update a parent's children from a list: nodes are matched by key, then moved, made or removed.
 * `make(item)` returns a new node, `update(node, item)` updates one.
 */
export function sync(parent, items, key, make, update = () => {}) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = old.get(name);
    old.delete(name);
    if (!node) {
      node = make(item);
      node.dataset.key = name;
    }
    if (node === before) before = before.nextElementSibling;
    else parent.insertBefore(node, before);
    update(node, item);
  }
  for (const node of old.values()) node.remove();
}

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);
