// A chart in React, with the client package of clients/typescript and TradingView's lightweight-charts.
import { signalr } from "@kline-orleans/client/signalr";
import { bindSeries } from "@kline-orleans/client/lightweight-charts";
import { useKlines } from "@kline-orleans/client/react";
import { CandlestickSeries, createChart } from "lightweight-charts";
import { useEffect, useRef } from "react";

const client = signalr("http://127.0.0.1:8080");
client.start();

/** The chart draws itself: history, updates and corrections. */
export function Chart({ symbol }: { symbol: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chart = createChart(place.current!, { autoSize: true, timeScale: { timeVisible: true } });
    const watch = client.watch(symbol, "m1");
    const unbind = bindSeries(watch, chart.addSeries(CandlestickSeries));
    return () => {
      unbind();
      watch.close();
      chart.remove();
    };
  }, [symbol]);
  return <div ref={place} style={{ height: 400 }} />;
}

/** The newest price, drawn anew with each change. */
export function LastPrice({ symbol }: { symbol: string }) {
  const { klines } = useKlines(client, symbol, "s1");
  return <b>{klines.at(-1)?.close ?? "..."}</b>;
}
