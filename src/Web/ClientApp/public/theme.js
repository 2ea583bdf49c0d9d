// Runs before the first paint, so that a remembered theme does not flash; a file of its own because the page allows no inline script.
try {
  var theme = localStorage.getItem("kline.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden: the system's preference decides.
}
