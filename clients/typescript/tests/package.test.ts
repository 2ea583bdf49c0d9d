import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

// The package as it would be published: packed, unpacked among an application's packages, imported and compiled against.
const root = fileURLToPath(new URL("..", import.meta.url));
const application = mkdtempSync(join(tmpdir(), "kline-client-"));
const place = join(application, "node_modules", "@kline-orleans", "client");
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { cwd: application, encoding: "utf8", timeout: 60_000 });
const link = (name: string): void => {
  const to = join(application, "node_modules", name);
  mkdirSync(dirname(to), { recursive: true });
  if (!existsSync(to)) symlinkSync(join(root, "node_modules", name), to);
};

beforeAll(() => {
  execFileSync("npm", ["pack", "--silent", "--pack-destination", application], { cwd: root, timeout: 60_000 });
  mkdirSync(place, { recursive: true });
  run("tar", "-xzf", readdirSync(application).find((name) => name.endsWith(".tgz"))!, "-C", place, "--strip-components=1");
  writeFileSync(join(application, "package.json"), '{ "type": "module" }');
}, 90_000);

afterAll(() => rmSync(application, { recursive: true, force: true }));

test("holds what is built, its types and the README, and nothing else", () => {
  const files = readdirSync(place, { recursive: true, withFileTypes: true }).filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name).slice(place.length + 1)).sort();
  expect(files.filter((name) => !/^dist\/\w+(\.d\.ts|\.js|\.js\.map)$/.test(name))).toEqual(["README.md", "package.json"]);
  const { exports, files: listed } = JSON.parse(readFileSync(join(place, "package.json"), "utf8")) as { exports: Record<string, Record<string, string>>; files: string[] };
  expect(listed).toEqual(["dist", "README.md"]);
  for (const [name, targets] of Object.entries(exports)) for (const target of Object.values(targets)) expect(existsSync(join(place, target)), `${name}: ${target}`).toBe(true);
  // A debugger shows the sources, which are not in the package.
  expect((JSON.parse(readFileSync(join(place, "dist", "client.js.map"), "utf8")) as { sourcesContent: string[] }).sourcesContent[0]).toContain("export class KlineClient");
});

test("what needs no other package works without one", () => {
  const program = 'for (const name of ["", "/websocket", "/tradingview", "/lightweight-charts"]) { const module = await import("@kline-orleans/client" + name); console.log(Object.keys(module).length > 0); }';
  expect(run("node", "--input-type=module", "-e", program)).toBe("true\ntrue\ntrue\ntrue\n");
});

test("an application imports every part and compiles against its types", () => {
  for (const name of ["@microsoft/signalr", "lightweight-charts", "fancy-canvas", "react", "@types/react", "csstype", "typescript"]) link(name);
  writeFileSync(join(application, "application.ts"), `
    import { KlineClient, KlineStore, INTERVALS, type Kline, type Watch } from "@kline-orleans/client";
    import { signalr } from "@kline-orleans/client/signalr";
    import { webSocket } from "@kline-orleans/client/websocket";
    import { bindSeries, loadOnScroll } from "@kline-orleans/client/lightweight-charts";
    import { createDatafeed } from "@kline-orleans/client/tradingview";
    import { useKlines, useLinkState } from "@kline-orleans/client/react";
    import type { IChartApi, ISeriesApi } from "lightweight-charts";

    const clients: KlineClient[] = [signalr("http://127.0.0.1:1", { token: () => "key" }), webSocket("ws://127.0.0.1:1/ws")];
    export function show(chart: IChartApi, candles: ISeriesApi<"Candlestick">): () => void {
      const watch: Watch = clients[0]!.watch("SYMBOL", "m1", { keep: 5_000 });
      const ends = [bindSeries(watch, candles), loadOnScroll(watch, chart), watch.subscribe(({ changed }) => changed.map((kline: Kline) => kline.close))];
      return () => ends.forEach((end) => end());
    }
    export const feed = createDatafeed(clients[1]!);
    export function useClose(): number | undefined {
      useLinkState(clients[0]!);
      return useKlines(clients[0]!, "SYMBOL", "s1").klines.at(-1)?.close;
    }
    console.log(INTERVALS.length, new KlineStore(() => {}).all.length, typeof useKlines, typeof feed.getBars);
  `);
  for (const resolution of [["nodenext", "nodenext"], ["esnext", "bundler"]] as const) {
    run("node", join(root, "node_modules", "typescript", "bin", "tsc"), "--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--lib", "es2023,dom", "--types", "", "--module", resolution[0], "--moduleResolution", resolution[1], "application.ts");
  }

  expect(run("node", "application.js")).toBe("12 0 function function\n");
}, 90_000);
