// Reads the binary messages of /ws?format=binary (docs/wire/websocket.md). Free to copy.

const INTERVALS = ['', 's1', 's5', 's15', 's30', 'm1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'];

export interface KlineData {
  symbol_id: number;
  interval: string;
  timestamp: number;
  /** A string where a number cannot hold it, as in JSON: hand it back in `resume` as it is. */
  epoch: number | string;
  seq: number;
  data: {
    time: number; open: number; high: number; low: number; close: number; volume: number;
    is_final: boolean; update_type: 'realtime' | 'final' | 'correction'; update_count: number;
    base_volume: number; quote_volume: number; trade_count: number; revision: number;
  };
}

/** One message, or null for a kind that this decoder does not know. */
export function readKline(message: ArrayBuffer): KlineData | null {
  const view = new DataView(message);
  if (view.byteLength < 96 || view.getUint8(0) !== 1) return null;
  const flags = view.getUint8(2);
  const is_final = (flags & 1) !== 0;
  const epoch = view.getBigInt64(8, true);
  const revision = view.getUint32(40, true);
  const base_volume = view.getFloat64(80, true);
  return {
    symbol_id: view.getUint32(4, true),
    interval: INTERVALS[view.getUint8(1)],
    timestamp: view.getFloat64(24, true),
    epoch: epoch <= 9007199254740992n ? Number(epoch) : String(epoch),
    seq: Number(view.getBigInt64(16, true)),
    data: {
      time: view.getUint32(32, true),
      open: view.getFloat64(48, true),
      high: view.getFloat64(56, true),
      low: view.getFloat64(64, true),
      close: view.getFloat64(72, true),
      volume: (flags & 2) !== 0 ? base_volume : 0,
      is_final,
      update_type: revision > 0 ? 'correction' : is_final ? 'final' : 'realtime',
      update_count: view.getUint32(36, true),
      base_volume,
      quote_volume: view.getFloat64(88, true),
      trade_count: view.getUint32(44, true),
      revision,
    },
  };
}
