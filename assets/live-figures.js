// Brings a page's figures to life. Each <script type="application/json" data-figure="fig-1"> holds the Vega-Lite
// specification of the picture inside #fig-1; the picture stays as it is where JavaScript is off.
(() => {
  const scripts = [...document.querySelectorAll('script[type="application/json"][data-figure]')];
  if (scripts.length === 0) return; // pages without live figures do not load Vega
  const here = document.currentScript.src;

  const draw = async (script) => {
    const figure = document.getElementById(script.dataset.figure);
    const picture = figure?.querySelector("img, svg");
    if (!picture) throw new Error(`no picture in #${script.dataset.figure}`);
    const alternative = picture.getAttribute("alt") ?? "";
    const live = document.createElement("div");
    live.className = "live-figure";
    live.setAttribute("role", "figure");
    live.setAttribute("aria-label", alternative);
    let narrow;
    const fit = async () => {
      const width = (live.parentElement ?? picture.parentElement).clientWidth;
      if (narrow === width < 640) return;
      narrow = width < 640;
      const spec = JSON.parse(script.textContent);
      if (narrow) { // one panel a row, legends in two columns
        spec.columns = 1;
        spec.config.legend.columns = 2;
      }
      await vegaEmbed(live, spec, { actions: { export: true, source: false, compiled: false, editor: false }, renderer: "svg" });
    };
    await fit();
    picture.replaceWith(live);
    addEventListener("resize", fit);
  };

  const vega = document.createElement("script");
  vega.src = new URL("vega.js", here).href;
  vega.onload = () => scripts.forEach(draw);
  document.head.append(vega);
})();
