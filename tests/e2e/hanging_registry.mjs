// The Worker, with registries that never answer.
import { RegistryObject as Registry } from "./product.js";

export * from "./product.js";
export { default } from "./product.js";

export class RegistryObject {
  constructor(state, env) {
    this.registry = new Registry(state, env);
  }

  async fetch(request) {
    await new Promise((done) => setTimeout(done, 600_000));
    return this.registry.fetch(request);
  }
}
