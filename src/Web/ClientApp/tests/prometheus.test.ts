import { expect, test } from "vitest";
import { parseMetrics } from "../src/data/prometheus";

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
