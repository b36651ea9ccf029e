import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vitest/config";

const BACKEND = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [vue({ features: { optionsAPI: false } })],
  build: {
    target: "es2022",
    // A strict content security policy forbids data: fonts and scripts, so nothing is inlined.
    assetsInlineLimit: 0,
    // The API's documentation is one library of this size, which no other page loads.
    chunkSizeWarningLimit: 1_700,
    rolldownOptions: {
      input: {
        dashboard: "index.html",
        "digital-twin": "digital-twin.html",
        login: "login.html",
        devices: "devices.html",
        people: "people.html",
        docs: "docs.html",
      },
    },
  },
  server: {
    proxy: {
      "/api": BACKEND,
      "/ws": { target: BACKEND, ws: true },
    },
  },
  test: {
    include: ["src/**/*.test.ts"],
    environment: "happy-dom",
    restoreMocks: true,
  },
});
