// The npm package `openai` against a running gateway: `node openai.mjs BASE_URL [SCENARIO...]`.

import OpenAI, { toFile } from "openai";
import { collect, failure, isIdle, messages, run, schema, tools } from "./scenarios.mjs";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "sk-caller", maxRetries: 0, timeout: 10_000 });
const chat = client.chat.completions;
const ask = { model: "fast", messages };

async function errors() {
  const seen = {};
  for (const status of [400, 401, 403, 404, 409, 422, 429, 500, 529]) {
    seen[status] = await failure(() => chat.create({ ...ask, demo: { status } }));
  }
  return seen;
}

async function whole() {
  const { data, response } = await chat.create(ask).withResponse();
  return { reply: data, headers: Object.fromEntries(response.headers), requestID: data._request_id };
}

async function named() {
  const choice = { type: "function", function: { name: "tides" } };
  const reply = await chat.create({ ...ask, tools, tool_choice: choice });
  return reply.choices[0];
}

async function helper() {
  const stream = chat.stream({ ...ask, stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  return { content: final.choices[0].message.content, usage: await stream.totalUsage() };
}

async function roundTrip() {
  const first = await chat.create({ ...ask, tools, tool_choice: "required" });
  const spoken = first.choices[0].message;
  const answer = { role: "tool", tool_call_id: spoken.tool_calls[0].id, content: "-3 degrees" };
  const last = await chat.create({ ...ask, messages: [...messages, spoken, answer], tools });
  return last.choices[0].message.content;
}

async function embeddings() {
  const input = ["one", "two"];
  const packed = await client.embeddings.create({ model: "fast", input, dimensions: 8 });
  const plain = await client.embeddings.create({ model: "fast", input, dimensions: 8, encoding_format: "float" });
  return { packed: packed.data.map((item) => item.embedding), plain: plain.data.map((item) => item.embedding) };
}

async function completion() {
  let streamed = "";
  for await (const chunk of await client.completions.create({ model: "fast", prompt: "hi", stream: true })) {
    streamed += chunk.choices[0]?.text ?? "";
  }
  const reply = await client.completions.create({ model: "fast", prompt: "hi" });
  return { whole: reply.choices[0].text, streamed };
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  return names;
}

async function abort() {
  const stream = await chat.create({ model: "m", messages, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) stream.controller.abort();
  }
  return { aborted: stream.controller.signal.aborted, isIdle: await isIdle() };
}

async function leave() {
  for await (const chunk of await chat.create({ model: "m", messages, stream: true })) {
    if (chunk.choices[0].delta.content) break;
  }
  return { isIdle: await isIdle() };
}

async function upload() {
  const file = await toFile(Buffer.from([0, 1, 2, 253, 254, 255]), "a.jsonl");
  const headers = { "x-headgate-provider": "mock" };
  return (await client.files.create({ file, purpose: "batch" }, { headers })).id;
}

await run({
  whole,
  helper,
  named,
  roundTrip,
  errors,
  embeddings,
  completion,
  models,
  stream: async () => collect(await chat.create({ ...ask, stream: true, stream_options: { include_usage: true } })),
  calls: async () =>
    collect(await chat.create({ ...ask, tools, tool_choice: "required", stream: true, demo: { chunk_bytes: 4 } })),
  structured: async () => (await chat.parse({ ...ask, response_format: schema })).choices[0].message.content,
  unknownModel: () => failure(() => chat.create({ ...ask, model: "gpt-nobody" })),
  broken: async () => collect(await chat.create({ ...ask, stream: true, demo: { fail_after_chunks: 3 } })),
  timeout: () => failure(() => chat.create({ ...ask, demo: { hang: true } }, { timeout: 200 })),
  // These need an upstream behind the alias `m` that does as they expect: they run only when named.
  ...(process.argv.length > 3 && {
    abort,
    leave,
    upload,
    retries: async () => (await chat.create({ model: "m", messages }, { maxRetries: 2 })).choices[0].message.content,
  }),
});
