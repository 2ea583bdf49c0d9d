export type Theme = "dark" | "light";

const KEY = "kline.theme";
const system = matchMedia("(prefers-color-scheme: light)");

function remembered(): Theme | undefined {
  const theme = document.documentElement.dataset["theme"];
  return theme === "dark" || theme === "light" ? theme : undefined;
}

export function currentTheme(): Theme {
  return remembered() ?? (system.matches ? "light" : "dark");
}

/** Changes to the other theme and remembers it; a choice that equals the system's is forgotten, so that the page follows the system again. */
export function toggleTheme(): void {
  const next: Theme = currentTheme() === "dark" ? "light" : "dark";
  const follow = (system.matches ? "light" : "dark") === next;
  if (follow) delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
  try {
    if (follow) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Storage is forbidden: the choice lasts as long as the page.
  }
}

/** Calls back whenever the system's preference changes. */
export function onSystemTheme(callback: () => void): void {
  system.addEventListener("change", callback);
}

/** The value of a custom property of the style sheet, the one place that knows colours. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
