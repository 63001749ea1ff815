// Pictures become live charts, with hover, once they are on screen; the chart library is loaded no sooner.
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const ink = { labelColor: "#e5e7eb", titleColor: "#e5e7eb" };
  const config = () => (dark.matches ? { axis: { ...ink, gridColor: "#374151", domainColor: "#6b7280", tickColor: "#6b7280" }, legend: ink } : {});

  async function enliven(figure) {
    const name = figure.dataset.chart, root = figure.dataset.root;
    await Promise.all([window.loadScript(`${root}assets/vendor/vega.js`), window.loadScript(`${root}charts/${name}.js`)]);
    const place = document.createElement("div");
    const spec = structuredClone(window.CHARTS[name]);
    for (const key of Object.keys(config())) spec.config[key] = { ...spec.config[key], ...config()[key] };
    await window.vegaEmbed(place, spec, { renderer: "svg", actions: false });
    const svg = place.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", figure.querySelector("img").alt);
    // The picture's size, so that nothing on the page moves.
    figure.querySelector(".chart").replaceChildren(place);
    figure.dataset.live = "yes";
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        // The picture stays where the live chart fails to load.
        enliven(entry.target).catch((error) => console.warn(error.message));
      }
  });
  for (const figure of document.querySelectorAll("figure[data-chart]")) seen.observe(figure);
})();
