import { expect, test } from "vitest";
import { parseMetrics, sum } from "../src/data/prometheus";

const TEXT = `# HELP kline_trades_total Trades that reached a grain.
# TYPE kline_trades_total counter
kline_trades_total{result="applied"} 12
kline_trades_total{result="late",source="a \\"b\\" \\\\ c"} 3
up 1 1767571200000
big +Inf
not a metric {
`;

test("series are read with their labels, escapes and times", () => {
  expect(parseMetrics(TEXT)).toEqual([
    { name: "kline_trades_total", labels: { result: "applied" }, value: 12 },
    { name: "kline_trades_total", labels: { result: "late", source: 'a "b" \\ c' }, value: 3 },
    { name: "up", labels: {}, value: 1 },
    { name: "big", labels: {}, value: Infinity },
  ]);
});

test("a metric is summed over its series, or over those that labels name", () => {
  const samples = parseMetrics(TEXT);
  expect(sum(samples, "kline_trades_total")).toBe(15);
  expect(sum(samples, "kline_trades_total", { result: "late" })).toBe(3);
  expect(sum(samples, "none")).toBeUndefined();
});
