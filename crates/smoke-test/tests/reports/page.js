// What a reader would notice: what does not fit, what cannot be read, what cannot be heard.
(() => {
  const all = [...document.body.querySelectorAll('*')].filter((e) => !e.closest('svg') || e.tagName === 'svg');
  const seen = all.filter((e) => e.getClientRects().length);
  const name = (e) => `${e.tagName} ${(e.textContent || '').trim().slice(0, 60)}`;
  const outside = seen.filter((e) => { const r = e.getBoundingClientRect(); return r.left < -0.5 || innerWidth + 0.5 < r.right; });
  const cut = seen.filter((e) => e.clientWidth && e.clientWidth < e.scrollWidth - 1);
  const rgb = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = (color) => {
    const [r, g, b] = rgb(color).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] !== 0) return c; } return 'rgb(255, 255, 255)'; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
  // WCAG 2.2, 1.4.3: 4.5 for text.
  const pale = seen.filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => ratio(getComputedStyle(e).color, behind(e)) < 4.5);
  // WCAG 2.2, 1.4.11: 3 for parts of pictures that are needed to understand them.
  const faint = [...document.querySelectorAll('svg rect:not(.gap)')]
    .filter((e) => ratio(getComputedStyle(e).fill, behind(e.closest('figure, ul, section'))) < 3);
  const small = seen.filter((e) => parseFloat(getComputedStyle(e).fontSize) < 12);
  const charts = [...document.querySelectorAll('svg[role=img]')];
  return {
    outside: outside.map(name), cut: cut.map(name), pale: pale.map(name), faint: faint.map((e) => e.outerHTML), small: small.map(name),
    charts: charts.map((e) => { const r = e.getBoundingClientRect(); return [r.width, r.height, e.querySelectorAll('rect, path').length]; }),
    mute: charts.filter((e) => !e.getAttribute('aria-label') || !e.closest('figure').querySelector('figcaption')).map(name),
    cells: [...document.querySelectorAll('th')].filter((e) => !e.getAttribute('scope')).map(name),
    headings: [...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1])),
    scripts: document.scripts.length,
    images: document.images.length,
    text: document.body.innerText,
    dark: light(getComputedStyle(document.body).backgroundColor) < 0.2,
  };
})()
