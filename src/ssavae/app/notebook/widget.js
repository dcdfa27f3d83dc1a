// The widget of a notebook: the page in a frame of its own, and what it reports.

function render({ model, el }) {
  const frame = document.createElement("iframe");
  // its origin is nobody's: it cannot read the notebook, which reads its messages only
  frame.sandbox = "allow-scripts allow-forms allow-downloads";
  frame.title = "ssavae explorer";
  frame.srcdoc = model.get("_page");
  Object.assign(frame.style, { width: "100%", height: `${model.get("_height")}px`, border: "0" });
  const listen = ({ source, data }) => {
    if (source !== frame.contentWindow || !data?.ssavae) return;
    for (const [name, value] of Object.entries(data.ssavae)) if (["selected", "labels"].includes(name)) model.set(`_${name}`, value);
    model.save_changes();
  };
  window.addEventListener("message", listen);
  el.append(frame);
  return () => window.removeEventListener("message", listen);
}

export default { render };
