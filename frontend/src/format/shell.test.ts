import { expect, test } from "vitest";
import { curlCommand, shellQuoted } from "./shell";

test("whatever a name contains stays one word of the command", () => {
  expect(shellQuoted("l'été; rm -rf $(pwd)")).toBe("'l'\\''été; rm -rf $(pwd)'");
});

test("a command has one option a line", () => {
  expect(curlCommand("http://localhost/api", { salle: "L'été" }, ["'X: y'"])).toBe(
    [
      "curl http://localhost/api \\",
      "  -H 'Content-Type: application/json' \\",
      "  -H 'X: y' \\",
      `  -d '{"salle":"L'\\''été"}'`,
    ].join("\n"),
  );
});

test("an address that a shell might read otherwise is quoted", () => {
  expect(curlCommand("http://[::1]:8080/api", {})).toContain("curl 'http://[::1]:8080/api'");
});
