import type { CandlestickData, HistogramData, IChartApi, ISeriesApi, UTCTimestamp } from "lightweight-charts";
import type { Watch } from "./client.js";
import type { Changes } from "./klineStore.js";
import type { Kline } from "./types.js";

/** A kline as a candle of lightweight-charts, which counts time in seconds. */
export function candle(kline: Kline): CandlestickData<UTCTimestamp> {
  return { time: seconds(kline), open: kline.open, high: kline.high, low: kline.low, close: kline.close };
}

/** The volume of a kline as a bar in base units. */
export function volumeBar(kline: Kline, color?: string): HistogramData<UTCTimestamp> {
  return { time: seconds(kline), value: kline.baseVolume, ...(color !== undefined && { color }) };
}

/**
 * Brings two series up to date with what changed in a store.
 * @param klines Everything held, ascending; set anew where `changes` says so.
 */
export function drawChanges(
  changes: Changes, klines: readonly Kline[], candles: ISeriesApi<"Candlestick">, volumes?: ISeriesApi<"Histogram">, bar: (kline: Kline) => HistogramData<UTCTimestamp> = volumeBar,
): void {
  if (changes.rebuild) {
    candles.setData(klines.map(candle));
    volumes?.setData(klines.map((kline) => bar(kline)));
    return;
  }

  // The chart refuses an update of an older candle unless it is marked as one.
  const drawn = candles.data().at(-1)?.time as number | undefined;
  for (const kline of changes.changed) {
    const old = drawn !== undefined && kline.openTime / 1_000 < drawn;
    candles.update(candle(kline), old);
    volumes?.update(bar(kline), old);
  }
}

export interface BindOptions {
  volumes?: ISeriesApi<"Histogram">;
  /** Makes the volume bar of a kline, with its colour. */
  bar?: (kline: Kline) => HistogramData<UTCTimestamp>;
}

/** Draws a watch into a candlestick series from now on, corrections included. Returns what ends it; the watch goes on. */
export function bindSeries(watch: Watch, candles: ISeriesApi<"Candlestick">, options: BindOptions = {}): () => void {
  const { volumes, bar = volumeBar } = options;
  drawChanges({ fresh: true, rebuild: true, changed: [] }, watch.klines, candles, volumes, bar);
  return watch.subscribe((changes) => drawChanges(changes, watch.klines, candles, volumes, bar));
}

/**
 * Fetches older klines whenever fewer than `margin` bars are left of what the chart shows, until there are none. Returns what ends it.
 * Bind the watch's series first (`bindSeries`), so that what comes is drawn.
 */
export function loadOnScroll(watch: Watch, chart: Pick<IChartApi, "timeScale">, margin = 60): () => void {
  const scale = chart.timeScale();
  const look = (): void => {
    const range = scale.getVisibleLogicalRange();
    if (range !== null && range.from < margin && watch.klines.length > 0 && !watch.historyComplete) void watch.loadOlder();
  };
  scale.subscribeVisibleLogicalRangeChange(look);
  look();
  return () => scale.unsubscribeVisibleLogicalRangeChange(look);
}

function seconds(kline: Kline): UTCTimestamp {
  return (kline.openTime / 1_000) as UTCTimestamp;
}
