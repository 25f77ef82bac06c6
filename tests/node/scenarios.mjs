// Runs the scenarios named on the command line (all of them when none is) and prints one JSON object: what each
// returned, or `threw` with the error it ended in. The tests assert on it.

export async function run(scenarios) {
  const wanted = process.argv.slice(3);
  const results = {};
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    try {
      results[name] = await scenario();
    } catch (error) {
      results[name] = { threw: describe(error) };
    }
  }
  console.log(JSON.stringify(results));
}

export async function failure(call) {
  try {
    await call();
  } catch (error) {
    return describe(error);
  }
  return null;
}

export function describe(error) {
  return {
    name: error.constructor.name,
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    param: error.param ?? null,
    requestID: error.requestID ?? null,
    message: String(error.message),
  };
}

// What a chat stream said, its tool call put together as a client must, and how it ended.
export async function collect(stream) {
  const seen = { text: "", call: { id: "", name: "", arguments: "" }, finishes: [], usage: null, chunks: 0, error: null, threw: null };
  try {
    for await (const chunk of stream) {
      seen.chunks += 1;
      seen.usage = chunk.usage ?? seen.usage;
      seen.error = chunk.error ?? seen.error; // portkey-ai hands an error event over like any other
      for (const choice of chunk.choices ?? []) {
        seen.text += choice.delta.content ?? "";
        for (const call of choice.delta.tool_calls ?? []) {
          seen.call.id += call.id ?? "";
          seen.call.name += call.function?.name ?? "";
          seen.call.arguments += call.function?.arguments ?? "";
        }
        if (choice.finish_reason) seen.finishes.push(choice.finish_reason);
      }
    }
  } catch (error) {
    seen.threw = describe(error);
  }
  return seen;
}

// Whether the gateway has no exchange running any more, while this client is still there.
export async function isIdle() {
  const deadline = Date.now() + 5000;
  while (Date.now() < deadline) {
    const response = await fetch(new URL("/v1/ready", process.argv[2]));
    if ((await response.json()).in_flight === 0) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}

export const messages = [{ role: "user", content: "hi" }];

const parameters = {
  type: "object",
  properties: { city: { type: "string" }, unit: { type: "string", enum: ["c", "f"] } },
  required: ["city", "unit"],
  additionalProperties: false,
};
export const tools = ["weather", "tides"].map((name) => ({ type: "function", function: { name, strict: true, parameters } }));
export const schema = { type: "json_schema", json_schema: { name: "place", strict: true, schema: parameters } };
