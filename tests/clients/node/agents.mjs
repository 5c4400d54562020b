// @openai/agents: an agent that calls a tool, plain and streamed.
import { Agent, OpenAIResponsesModel, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true);
const weather = tool({
  name: "get_weather",
  description: "Get the weather.",
  parameters: z.object({ location: z.string() }),
  execute: async ({ location }) => `In ${location}: 4 degrees`,
});
const agent = new Agent({
  name: "a",
  model: new OpenAIResponsesModel(new OpenAI({ maxRetries: 0 }), process.env.MODEL),
  tools: [weather],
});
const question = "What is the weather in Oslo?";
const plain = await run(agent, question);
const streamed = await run(agent, question, { stream: true });
for await (const _ of streamed);
await streamed.completed;
console.log(JSON.stringify([plain.finalOutput, streamed.finalOutput]));
