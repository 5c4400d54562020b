// Vercel's AI SDK, whose major is in AI and OPENAI: three turns of a chat, a tool, an object.
// Its default provider names the items of earlier turns by their ids alone: `item_reference`.
import assert from "node:assert/strict";
import { z } from "zod";

const { generateText, generateObject, streamText, stepCountIs, tool } = await import(
  process.env.AI
);
const { createOpenAI } = await import(process.env.OPENAI);
const openai = createOpenAI({
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
});
const model =
  process.env.KIND === "chat" ? openai.chat(process.env.MODEL) : openai(process.env.MODEL);
const weather = tool({
  description: "Get the weather.",
  inputSchema: z.object({ location: z.string() }),
  execute: async ({ location }) => `In ${location}: 4 degrees`,
});

const messages = [];
const said = [];
for (const content of ["Say hello.", "What is the weather in Oslo?", "And thanks."]) {
  messages.push({ role: "user", content });
  const turn = streamText({
    model,
    messages,
    tools: { get_weather: weather },
    stopWhen: stepCountIs(4),
    maxRetries: 0,
    onError: ({ error }) => {
      throw error;
    },
  });
  let text = "";
  for await (const delta of turn.textStream) text += delta;
  said.push(text);
  messages.push(...(await turn.response).messages);
}

const made = await generateObject({
  model,
  schema: z.object({ answer: z.string() }),
  prompt: "Is water wet?",
  maxRetries: 0,
});
assert.deepEqual(made.object, { answer: "yes" });
const plain = await generateText({ model, prompt: "Say hello.", maxRetries: 0 });
assert.ok(plain.usage.inputTokens > 0);
assert.equal(plain.text, said[0]);
console.log(JSON.stringify(said));
