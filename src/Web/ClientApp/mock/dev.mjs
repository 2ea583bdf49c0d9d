// The page from source with hot reload, over the made-up market: npm run dev:mock
import { createServer } from "vite";
import { startMock } from "../../../../clients/typescript/mock/server.mjs";

const mock = await startMock();
process.env.KLINE_SERVER = `http://127.0.0.1:${mock.port}`;
const vite = await createServer();
await vite.listen();
vite.printUrls();
