import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, createChart,
  type HistogramData, type IChartApi, type ISeriesApi, type LogicalRange, type MouseEventParams, type UTCTimestamp,
} from "lightweight-charts";
import { intervalSeconds, type Interval, type Kline, type KlineStore } from "@kline-orleans/client";
import { drawChanges, volumeBar } from "@kline-orleans/client/lightweight-charts";
import { axisPrices, dateTime, decimalsFor, price, volume } from "./format";
import { cssColor } from "./theme";

const OLDER_MARGIN = 60;
const RIGHT_BARS = 6;
const BOTTOM_MARGIN = 0.08;

export interface ChartEvents {
  /** The kline under the crosshair, or undefined when it is outside. */
  hovered(kline: Kline | undefined): void;
  /** The left end of the data comes into view. */
  needOlder(): void;
  /** Whether the newest kline is in view. */
  following(atEnd: boolean): void;
}

/** A candle as the chart holds it. */
export interface Drawn {
  openTime: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

/** Candles, and volume bars in a pane below. Draws what the store says changed, when `draw` is called. */
export class ChartView {
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volumes: ISeriesApi<"Histogram">;
  readonly #store: KlineStore;
  readonly #events: ChartEvents;
  #interval: Interval = "m1";
  #decimals = -1;
  #topMargin = 0.12;
  #atEnd = true;
  #hoveredTime: number | undefined;
  #resetRange = true;
  #colors = { up: "", down: "", upSoft: "", downSoft: "" };

  constructor(element: HTMLElement, store: KlineStore, events: ChartEvents) {
    this.#store = store;
    this.#events = events;
    this.#chart = createChart(element, {
      autoSize: true,
      layout: {
        fontFamily: getComputedStyle(document.body).fontFamily,
        fontSize: 11,
        // The footer names TradingView and links to it.
        attributionLogo: false,
        panes: { enableResize: true },
      },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.12, bottom: BOTTOM_MARGIN } },
      timeScale: { borderVisible: false, rightOffset: RIGHT_BARS, barSpacing: 8, minBarSpacing: 0.8, secondsVisible: true, timeVisible: true },
      localization: { timeFormatter: (time: UTCTimestamp) => dateTime(time * 1_000, intervalSeconds(this.#interval)) },
      kineticScroll: { touch: true, mouse: false },
    });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: LineStyle.Dotted });
    this.#volumes = this.#chart.addSeries(
      HistogramSeries,
      { priceLineVisible: false, lastValueVisible: false, priceFormat: { type: "custom", formatter: volume, tickmarksFormatter: (values: readonly number[]) => values.map(volume), minMove: 1e-9 } },
      1,
    );
    this.#volumes.priceScale().applyOptions({ scaleMargins: { top: 0.18, bottom: 0 } });
    const [top, bottom] = this.#chart.panes();
    top?.setStretchFactor(4.6);
    bottom?.setStretchFactor(1);
    this.restyle();
    this.#chart.subscribeCrosshairMove((param) => this.#crosshair(param));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => this.#range(range));
  }

  /** Tells which interval the store's klines have. */
  setInterval(interval: Interval): void {
    this.#interval = interval;
    const seconds = intervalSeconds(interval);
    this.#chart.applyOptions({ timeScale: { secondsVisible: seconds < 60, timeVisible: seconds < 86_400 } });
  }

  /** Takes the colours of the style sheet again, after the theme changed. */
  restyle(): void {
    // The bars are set anew from the store below: what the candles do not show yet must not run ahead in them.
    this.draw();
    this.#colors = {
      up: cssColor("--up"), down: cssColor("--down"), upSoft: cssColor("--up-soft"), downSoft: cssColor("--down-soft"),
    };
    const grid = cssColor("--grid");
    const cross = { color: cssColor("--cross"), labelBackgroundColor: cssColor("--cross-label") };
    this.#chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: cssColor("--surface") },
        textColor: cssColor("--muted"),
        panes: { separatorColor: cssColor("--line"), separatorHoverColor: cssColor("--hover") },
      },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      crosshair: { vertLine: cross, horzLine: cross },
    });
    const { up, down } = this.#colors;
    this.#candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.#volumes.setData(this.#store.all.map((kline) => this.#bar(kline)));
  }

  /** Draws what changed in the store since the last call. */
  draw(): void {
    const changes = this.#store.takeChanges();
    if (changes.fresh) {
      this.#resetRange = true;
      this.#decimals = -1;
    }

    this.#format();
    drawChanges(changes, this.#store.all, this.#candles, this.#volumes, (kline) => this.#bar(kline));
    if (changes.rebuild && this.#resetRange && this.#store.newest !== undefined) {
      this.#resetRange = false;
      this.#candles.priceScale().applyOptions({ autoScale: true });
      this.#showNewest();
    }

    if (this.#hoveredTime !== undefined) this.#events.hovered(this.#at(this.#hoveredTime));
  }

  /** Keeps candles out of the uppermost pixels, where the legend lies: on a phone it takes three lines. */
  leaveRoom(pixels: number): void {
    const height = this.#chart.panes()[0]!.getHeight();
    if (height === 0) return;
    // A small chart has to show candles under its legend all the same.
    const margin = Math.min(0.45, Math.max(0.08, (pixels + 6) / height));
    if (Math.abs(margin - this.#topMargin) < 0.01) return;
    this.#topMargin = margin;
    this.#candles.priceScale().applyOptions({ scaleMargins: { top: margin, bottom: BOTTOM_MARGIN } });
  }

  scrollToNewest(): void {
    // At once: an animation would be cut short by the next kline that opens.
    this.#chart.timeScale().scrollToPosition(RIGHT_BARS, false);
  }

  scrollBy(bars: number): void {
    const scale = this.#chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  zoom(factor: number): void {
    const scale = this.#chart.timeScale();
    const { barSpacing } = scale.options();
    scale.applyOptions({ barSpacing: Math.max(0.8, Math.min(60, barSpacing * factor)) });
  }

  /** Frees the canvas; the view cannot be used after it. */
  remove(): void {
    this.#chart.remove();
  }

  get atEnd(): boolean {
    return this.#atEnd;
  }

  /** What the canvas was last given, candle by candle with its volume. */
  get drawn(): Drawn[] {
    const bars = this.#volumes.data();
    return this.#candles.data().flatMap((candle, index) => {
      const bar = bars[index];
      return "open" in candle ? [{ openTime: (candle.time as number) * 1_000, open: candle.open, high: candle.high, low: candle.low, close: candle.close, volume: bar !== undefined && "value" in bar && bar.time === candle.time ? bar.value : NaN }] : [];
    });
  }

  #showNewest(): void {
    const scale = this.#chart.timeScale();
    // A short series is not stretched over the whole width, a long one not squeezed into it.
    scale.applyOptions({ barSpacing: 8 });
    scale.scrollToPosition(RIGHT_BARS, false);
  }

  #format(): void {
    const newest = this.#store.newest;
    if (newest === undefined) return;
    const decimals = decimalsFor(newest.close);
    if (decimals === this.#decimals) return;
    this.#decimals = decimals;
    this.#candles.applyOptions({
      priceFormat: {
        // The chart measures its axis with values near 1; with all decimals of a tiny price they would make it far too wide.
        type: "custom", formatter: (value: number) => price(value, Math.min(decimals, decimalsFor(value))), tickmarksFormatter: axisPrices, minMove: 10 ** -decimals, base: 10 ** decimals,
      },
    });
  }

  #bar(kline: Kline): HistogramData<UTCTimestamp> {
    const { upSoft, downSoft } = this.#colors;
    return volumeBar(kline, kline.close >= kline.open ? upSoft : downSoft);
  }

  #at(time: number): Kline | undefined {
    return this.#store.all[this.#store.indexOf(time)];
  }

  #crosshair(param: MouseEventParams): void {
    this.#hoveredTime = param.time === undefined || param.point === undefined ? undefined : (param.time as number) * 1_000;
    this.#events.hovered(this.#hoveredTime === undefined ? undefined : this.#at(this.#hoveredTime));
  }

  #range(range: LogicalRange | null): void {
    if (range === null || this.#store.newest === undefined) return;
    const atEnd = range.to >= this.#store.all.length - 1.5;
    if (atEnd !== this.#atEnd) {
      this.#atEnd = atEnd;
      this.#events.following(atEnd);
    }

    if (range.from < OLDER_MARGIN) this.#events.needOlder();
  }
}
