// Numbers as a trader reads them. Prices range from 1e-9 (SOL per token) to 1e5, so precision follows the value, not a setting.

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const MANY_ZEROS = 4;

/** Digits after the point that show `price` with about six significant digits; between 2 and 18. */
export function decimalsFor(price: number): number {
  const size = Math.abs(price);
  if (!(size > 0) || !Number.isFinite(size)) return 2;
  return Math.max(2, Math.min(18, 5 - Math.floor(Math.log10(size))));
}

/** Every digit of the number, without an exponent: 1.234e-9 is "0.000000001234". */
export function exact(value: number): string {
  if (!Number.isFinite(value)) return "—";
  const text = String(value);
  const match = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (match === null) return grouped(text);
  const [, sign, head, tail = "", power] = match;
  const exponent = Number(power);
  const digits = head! + tail;
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  return grouped(`${sign}${digits.padEnd(exponent + 1, "0")}`);
}

/** Every digit of a price, with a long run of zeros counted instead of written. */
export function exactPrice(value: number): string {
  return counted(exact(value));
}

/** A price rounded to `decimals`, with a long run of zeros counted instead of written: 0.00000123 is "0.0₅123". */
export function price(value: number, decimals: number = decimalsFor(value)): string {
  if (!Number.isFinite(value)) return "—";
  return counted(grouped(value.toFixed(Math.max(0, Math.min(20, decimals)))));
}

function counted(text: string): string {
  const match = /^(-?)0\.(0+)([1-9]\d*)$/.exec(text);
  if (match === null || match[2]!.length < MANY_ZEROS) return text;
  const count = [...String(match[2]!.length)].map((digit) => SUBSCRIPTS[Number(digit)]).join("");
  return `${match[1]}0.0${count}${match[3]}`;
}

/** A price to ten significant digits, with none that only fill up. */
export function fine(value: number): string {
  if (!Number.isFinite(value)) return "—";
  const rounded = Number(value.toPrecision(10));
  return price(rounded, exact(rounded).split(".")[1]?.length ?? 0);
}

/** The labels of a price axis: as many decimals as the step between two labels needs. */
export function axisPrices(prices: readonly number[]): string[] {
  let step = Infinity;
  for (let i = 1; i < prices.length; i++) {
    const difference = Math.abs(prices[i]! - prices[i - 1]!);
    if (difference > 0 && difference < step) step = difference;
  }

  // A step may be 2.5 of its power of ten.
  const decimals = Number.isFinite(step) ? Math.max(0, Math.min(20, Math.ceil(-Math.log10(step) + 0.3))) : undefined;
  return prices.map((value) => price(value, decimals));
}

/** A volume in at most five characters and a unit: 12.3K, 4.56M. */
export function volume(value: number): string {
  const size = Math.abs(value);
  if (!Number.isFinite(size)) return "—";
  if (size === 0) return "0";
  if (size < 1e-4) return price(value, 3 - Math.floor(Math.log10(size)));
  for (const [unit, name] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]] as const) {
    if (size >= unit) return trimmed(value / unit, 3) + name;
  }

  return trimmed(value, 3);
}

/** A relative change in percent, with its sign. */
export function change(from: number, to: number): string {
  if (!(from > 0) || !Number.isFinite(to)) return "—";
  const percent = (to / from - 1) * 100;
  if (!Number.isFinite(percent)) return "—";
  const digits = Math.abs(percent) >= 1_000 ? 0 : 2;
  const text = Math.abs(percent).toFixed(digits);
  const sign = Number(text) === 0 ? "" : percent > 0 ? "+" : "−";
  return `${sign}${grouped(text)}%`;
}

/** A chain mint without its middle; a short symbol as it is. */
export function shortMint(symbol: string): string {
  return symbol.length > 14 ? `${symbol.slice(0, 5)}…${symbol.slice(-5)}` : symbol;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** UTC time of day: 09:05:07. */
export function timeOfDay(time: number): string {
  const date = new Date(time);
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** UTC date, and time of day as fine as a bucket of `seconds` needs. */
export function dateTime(time: number, seconds: number): string {
  const date = new Date(time);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  if (seconds >= 86_400) return day;
  return `${day} ${seconds < 60 ? timeOfDay(time) : timeOfDay(time).slice(0, 5)}`;
}

function trimmed(value: number, significant: number): string {
  const text = value.toPrecision(significant);
  const plain = text.includes("e") ? String(Number(text)) : text;
  return plain.includes(".") ? plain.replace(/\.?0+$/, "") : plain;
}

function grouped(text: string): string {
  const [whole = "", fraction] = text.split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}
