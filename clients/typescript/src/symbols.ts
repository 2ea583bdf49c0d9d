import type { Link } from "./link.js";
import type { SymbolInfo } from "./types.js";

/** Symbols whose name or mint contains `query`. */
export async function findSymbols(link: Link, query: string, limit: number): Promise<SymbolInfo[]> {
  const reply = await link.invoke<SymbolInfo[] | { symbols: SymbolInfo[] }>("Symbols", query, limit);
  return Array.isArray(reply) ? reply : reply.symbols;
}
