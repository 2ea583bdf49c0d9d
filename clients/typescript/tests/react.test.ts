// @vitest-environment happy-dom
import { act, createElement } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KlineClient } from "../src/client.js";
import { useKlines, useLinkState } from "../src/react.js";
import { FakeLink } from "./fakeLink.js";
import { kline } from "./kline.js";

let link: FakeLink;
let client: KlineClient;
let root: Root;
let element: HTMLElement;

function Chart({ symbol }: { symbol: string }) {
  const { klines, opened, refusal } = useKlines(client, symbol, "s1");
  const state = useLinkState(client);
  return createElement("p", null, `${state} ${refusal?.code ?? (opened ? klines.map(({ openTime }) => openTime / 1_000).join(",") : "loading")}`);
}

const show = (symbol: string) => act(async () => root.render(createElement(Chart, { symbol })));
const answer = (symbol: string, ...seconds: number[]) =>
  act(() => link.last("Subscribe").answer({ symbol, epoch: 1, seq: 1, recovered: false, klines: { s1: seconds.map((second) => kline(second)) } }));

beforeEach(() => {
  (globalThis as any).IS_REACT_ACT_ENVIRONMENT = true;
  link = new FakeLink();
  client = new KlineClient((events) => {
    link.events = events;
    return link;
  });
  client.start();
  element = document.createElement("div");
  root = createRoot(element);
});
afterEach(() => act(async () => root.unmount()));

test("a component shows the snapshot, each update, and the state of the connection", async () => {
  await show("A");
  expect(element.textContent).toBe("connected loading");
  await answer("A", 1, 2);
  expect(element.textContent).toBe("connected 1,2");
  await act(async () => link.events!.kline({ symbol: "A", epoch: 1, seq: 2, eventTime: 0, sentAt: 0, klines: [kline(3)] }));
  expect(element.textContent).toBe("connected 1,2,3");
  await act(async () => link.drop());
  expect(element.textContent).toBe("reconnecting 1,2,3");
});

test("another symbol never shows the klines of the one before, and the one before is left", async () => {
  await show("A");
  await answer("A", 1);
  await show("B");
  expect(element.textContent).toBe("connected loading");
  expect(link.last("Unsubscribe").request).toEqual({ symbol: "A", intervals: ["s1"] });
  await answer("B", 7);
  expect(element.textContent).toBe("connected 7");
});

test("a refusal is shown", async () => {
  await show("A");
  await act(() => link.last("Subscribe").refuse("1001: symbol: 'A' is not allowed."));
  expect(element.textContent).toBe("connected 1001");
});

test("an unmounted component follows nothing", async () => {
  await show("A");
  await act(async () => root.render(null));
  expect(link.count("Unsubscribe")).toBe(1);
});
