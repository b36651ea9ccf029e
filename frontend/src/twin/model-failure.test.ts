import { expect, test } from "vitest";
import { RequestError } from "../api/problem";
import { modelFailure } from "./model-failure";

const refused = (code: string, pointer?: string): RequestError =>
  new RequestError("refused", "Title: detail", {
    status: 422,
    code: pointer === undefined ? code : "bad_model",
    fields: pointer === undefined ? [] : [{ pointer, code, detail: "must be otherwise" }],
  });

test.each([
  [refused("external_uri", "/images/0/uri"), /everything in one file\. \/images\/0\/uri$/],
  [refused("bad_chunk", ""), /^must be otherwise$/],
  [refused("quota_exceeded"), /remove some first/],
  [refused("model_missing"), /^Title: detail$/],
  [new RequestError("network", "broke off"), /connection broke off/],
  [new Error("no WebGL"), /could not be shown: Error: no WebGL/],
])("%s has words of its own", (cause, words) => {
  expect(modelFailure(cause)).toMatch(words);
});
