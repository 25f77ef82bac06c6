// The Vercel AI SDK against a running gateway, over three of its dialects: `node ai.mjs BASE_URL [SCENARIO...]`.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { run } from "./scenarios.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false; // stdout is for the results
const settings = { baseURL: process.argv[2], apiKey: "sk-caller" };
const openai = createOpenAI(settings);
const anthropic = createAnthropic(settings);
const speakers = { chat: (name) => openai.chat(name), responses: (name) => openai.responses(name), messages: (name) => anthropic(name) };
const schema = z.object({ city: z.string() });
const isOrdered = process.argv.length > 3;

async function whole(speak) {
  const { text, finishReason, usage } = await generateText({ model: speak("fast"), prompt: "hi", maxRetries: 0 });
  return { text, finishReason, outputTokens: usage.outputTokens };
}

async function stream(speak) {
  const seen = streamText({ model: speak("fast"), prompt: "hi", maxRetries: 0 });
  const pieces = [];
  for await (const piece of seen.textStream) pieces.push(piece);
  return { text: pieces.join(""), pieces: pieces.length, finishReason: await seen.finishReason };
}

async function broken(speak) {
  const headers = { "x-headgate-demo": JSON.stringify({ fail_after_chunks: 6 }) };
  const errors = [];
  const seen = streamText({ model: speak("fast"), prompt: "hi", headers, maxRetries: 0, onError: ({ error }) => errors.push(error) });
  let text = "";
  for await (const piece of seen.textStream) text += piece;
  return { text, errors: errors.map((error) => String(error.message ?? JSON.stringify(error))) };
}

async function called(speak) {
  const { toolCalls } = await generateText({
    model: speak("fast"),
    prompt: "hi",
    tools: { weather: tool({ description: "of a city", inputSchema: schema }) },
    toolChoice: "required",
    maxRetries: 0,
  });
  return toolCalls.map(({ toolName, input }) => ({ toolName, input }));
}

async function object(speak) {
  return (await generateObject({ model: speak("fast"), schema, prompt: "hi", maxRetries: 0 })).object;
}

async function failed(speak) {
  const headers = { "x-headgate-demo": JSON.stringify({ status: 429 }) };
  try {
    await generateText({ model: speak("fast"), prompt: "hi", headers, maxRetries: 0 });
  } catch (error) {
    return { name: error.name, statusCode: error.statusCode, message: error.message, isRetryable: error.isRetryable };
  }
  return null;
}

// These need an upstream that calls the tool `weather` and then speaks: they run only when named.
async function loop(speak) {
  const asked = [];
  const weather = tool({
    description: "of a city",
    inputSchema: schema,
    execute: async ({ city }) => {
      asked.push(city);
      return "degrees: -3";
    },
  });
  const asking = { model: speak("other"), prompt: "is it cold?", tools: { weather }, stopWhen: stepCountIs(3), maxRetries: 0 };
  const { text, steps } = await generateText(asking);
  return { text, steps: steps.length, asked };
}

const kinds = isOrdered ? { loop } : { whole, stream, broken, called, object, failed };
const scenarios = {};
for (const [dialect, speak] of Object.entries(speakers)) {
  for (const [name, scenario] of Object.entries(kinds)) scenarios[`${dialect}.${name}`] = () => scenario(speak);
}
await run(scenarios);
