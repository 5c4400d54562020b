// openai-node: chat and Responses, streamed, parsed, and in the background.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = process.env.MODEL;
const client = new OpenAI({ maxRetries: 0 });
const Verdict = z.object({ answer: z.string() });
const verdict = { answer: "yes" };
const tools = [
  {
    type: "function",
    name: "get_weather",
    description: "Get the weather.",
    parameters: { type: "object", properties: { location: { type: "string" } } },
  },
];
const seen = {};

const chat = client.chat.completions.stream({
  model,
  messages: [{ role: "user", content: "Say hello." }],
});
seen.chat = await chat.finalContent();

const parsedChat = await client.chat.completions.parse({
  model,
  messages: [{ role: "user", content: "Is water wet?" }],
  response_format: zodResponseFormat(Verdict, "verdict"),
});
assert.deepEqual(parsedChat.choices[0].message.parsed, verdict);

const stream = client.responses.stream({ model, input: "Say hello." });
const events = [];
for await (const event of stream) events.push(event.type);
const whole = await stream.finalResponse();
assert.equal(events[0], "response.created");
assert.equal(events.at(-1), "response.completed");
seen.response = whole.output_text;

const parsed = await client.responses.parse({
  model,
  input: "Is water wet?",
  text: { format: zodTextFormat(Verdict, "verdict") },
});
assert.deepEqual(parsed.output_parsed, verdict);

const called = await client.responses.create({
  model,
  input: "What is the weather in Oslo?",
  tools,
});
assert.equal(called.output[0].type, "function_call");
const told = await client.responses.create({
  model,
  previous_response_id: called.id,
  input: [{ type: "function_call_output", call_id: called.output[0].call_id, output: "4 degrees" }],
  tools,
});
seen.told = told.output_text;

// In the background: the reader leaves after the first words, and comes back.
const begun = await client.responses.create({
  model,
  input: "Say hello.",
  background: true,
  stream: true,
});
let id, after;
for await (const event of begun) {
  id ??= event.response.id;
  after = event.sequence_number;
  if (event.type === "response.output_text.delta") break;
}
const numbers = [];
const rest = await client.responses.retrieve(id, { stream: true, starting_after: after });
for await (const event of rest) numbers.push(event.sequence_number);
assert.deepEqual(numbers, numbers.map((_, place) => after + 1 + place));
seen.resumed = (await client.responses.retrieve(id)).output_text;

await assert.rejects(client.responses.create({ model: "gpt-none", input: "x" }), OpenAI.NotFoundError);
await assert.rejects(
  client.responses.create({ model, input: "x", temperature: 9 }),
  (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
);
console.log(JSON.stringify(seen));
