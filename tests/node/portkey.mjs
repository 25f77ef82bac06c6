// The npm package `portkey-ai` against a running gateway: `node portkey.mjs BASE_URL [SCENARIO...]`.

import { Portkey } from "portkey-ai";
import { collect, failure, isIdle, messages, run, schema, tools } from "./scenarios.mjs";

const connect = (options) =>
  new Portkey({ baseURL: process.argv[2], apiKey: "hg-caller", maxRetries: 0, ...options });
const client = connect({ provider: "demo" });
const ask = { model: "echo", messages };
const fallback = { strategy: { mode: "fallback" }, targets: [{ provider: "dead" }, { provider: "demo" }] };

async function whole() {
  const traced = connect({ provider: "demo", traceID: "trace-7", metadata: { _user: "ada", team: "red" } });
  const reply = await traced.chat.completions.create(ask);
  return { content: reply.choices[0].message.content, usage: reply.usage, headers: reply.getHeaders() };
}

async function config() {
  const reply = await connect({ config: fallback }).chat.completions.create(ask);
  return { content: reply.choices[0].message.content, headers: reply.getHeaders() };
}

async function configAsText() {
  const stream = await connect({ config: JSON.stringify(fallback) }).chat.completions.create({ ...ask, stream: true });
  return collect(stream);
}

async function called() {
  const reply = await client.chat.completions.create({ ...ask, tools, tool_choice: "required" });
  return reply.choices[0].message.tool_calls[0].function;
}

async function errors() {
  const seen = {};
  for (const status of [400, 429, 446, 500]) {
    seen[status] = await failure(() => client.chat.completions.create({ ...ask, demo: { status } }));
  }
  return seen;
}

await run({
  whole,
  config,
  configAsText,
  called,
  errors,
  stream: async () => collect(await client.chat.completions.create({ ...ask, stream: true })),
  structured: async () =>
    (await client.chat.completions.create({ ...ask, response_format: schema })).choices[0].message.content,
  embeddings: async () => (await client.embeddings.create({ model: "echo", input: ["a", "b"] })).data.length,
  models: async () => (await client.models.list()).data.map((model) => model.id),
  unknownProvider: () => failure(() => connect({ provider: "nowhere" }).chat.completions.create(ask)),
  wrongConfig: () => failure(() => connect({ config: { provider: "dmeo" } }).chat.completions.create(ask)),
  broken: async () => collect(await client.chat.completions.create({ ...ask, stream: true, demo: { fail_after_chunks: 3 } })),
  ...(process.argv.length > 3 && {
    upstream: async () => {
      const through = connect({ provider: "mock", Authorization: "sk-of-the-caller", metadata: { _user: "ada" } });
      return (await through.chat.completions.create({ ...ask, temperature: 0 })).choices[0].message.content;
    },
    leave: async () => {
      const stream = await connect({ provider: "mock" }).chat.completions.create({ ...ask, stream: true });
      for await (const chunk of stream) {
        if (chunk.choices[0].delta.content) break;
      }
      return { isIdle: await isIdle() };
    },
  }),
});
