import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig } from "vitest/config";

// The server that answers /hubs, /api and /health while the page itself comes from Vite.
const server = process.env["KLINE_SERVER"] ?? "http://127.0.0.1:8080";

// The page is built from the client package's source, so that both are always of one version; it takes this folder's packages along.
const client = fileURLToPath(new URL("../../../clients/typescript/src", import.meta.url));

const built = fileURLToPath(new URL("../wwwroot", import.meta.url));

export default defineConfig({
  plugins: [{
    // The server sends these instead of compressing for each visitor.
    name: "compressed beside each file",
    apply: "build",
    closeBundle() {
      for (const { name, parentPath } of readdirSync(built, { recursive: true, withFileTypes: true })) {
        if (!/\.(html|js|css|svg)$/.test(name)) continue;
        const text = readFileSync(`${parentPath}/${name}`);
        writeFileSync(`${parentPath}/${name}.br`, brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT } }));
        writeFileSync(`${parentPath}/${name}.gz`, gzipSync(text, { level: 9 }));
      }
    },
  }],
  resolve: {
    alias: [
      { find: /^@kline-orleans\/client$/, replacement: `${client}/index.ts` },
      { find: /^@kline-orleans\/client\/lightweight-charts$/, replacement: `${client}/lightweightCharts.ts` },
      { find: /^@kline-orleans\/client\/(.+)$/, replacement: `${client}/$1.ts` },
    ],
    dedupe: ["@microsoft/signalr", "lightweight-charts"],
  },
  // Relative, so that the page also works below a path prefix of a reverse proxy.
  base: "./",
  build: {
    outDir: "../wwwroot",
    emptyOutDir: true,
    target: "es2022",
    // Every browser that runs the page's ES2022 preloads modules by itself.
    modulePreload: { polyfill: false },
    // A small picture as a data: address would break the policy default-src 'self'.
    assetsInlineLimit: 0,
    rollupOptions: { input: { index: "index.html", status: "status.html" } },
  },
  server: {
    proxy: {
      "/hubs": { target: server, ws: true },
      "/api": { target: server },
      "/health": { target: server },
    },
  },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 20_000 },
});
