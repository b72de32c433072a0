// Elements made by calls: whatever a stranger wrote becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element of the shell with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element: h("a", {href: "#", class: "x", onclick: f}, "text", child, null).
 * Strings become text nodes; null and false are left out; `true` is an empty attribute.
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value != null) {
      element.setAttribute(name, value);
    }
  }
  for (const child of children.flat()) {
    if (child != null && child !== false) {
      element.append(child);
    }
  }
  return element;
}

/** Set an element's text where it is another: what does not change costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** The same for an attribute; null takes it away. */
export function setAttribute(element, name, value) {
  if (value == null) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** `action`, run once in the next frame however often it was asked for. */
export function oncePerFrame(action) {
  let asked = false;
  return () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        action();
      });
    }
  };
}
