// openai-node: a response in the background is cancelled. The engine waits until it is.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const begun = await client.responses.create({
  model: process.env.MODEL,
  input: "Never end.",
  background: true,
});
const cancelled = await client.responses.cancel(begun.id);
const stored = await client.responses.retrieve(begun.id);
console.log(JSON.stringify({ cancelled: cancelled.status, stored: stored.status }));
