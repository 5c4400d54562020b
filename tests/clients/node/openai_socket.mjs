// openai-node: two turns on one WebSocket, the second continues the first.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const model = process.env.MODEL;
const socket = new ResponsesWS(new OpenAI({ maxRetries: 0 }));
const said = [];

async function turn(body) {
  socket.send({ type: "response.create", model, store: false, ...body });
  for await (const event of socket) {
    const told = event.message ?? event;
    if (told.type === "response.completed") return told.response;
    if (told.type === "error") throw new Error(JSON.stringify(told));
  }
}

const first = await turn({ input: "Say hello." });
const second = await turn({ input: "Say hello.", previous_response_id: first.id });
for (const response of [first, second]) {
  said.push(response.output[0].content[0].text);
}
socket.close();
console.log(JSON.stringify(said));
