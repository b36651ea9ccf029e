import "swagger-ui-dist/swagger-ui.css";
import SwaggerUIBundle from "swagger-ui-dist/swagger-ui-es-bundle.js";
import { session, withSession } from "./access";

/** Calls are made with the session of whoever looks, whether the document or one that is tried. */
function authorize(request: { headers: Record<string, string> }): { headers: Record<string, string> } {
  if (session.bearer !== undefined) request.headers.Authorization ??= `Bearer ${session.bearer}`;
  return request;
}

await withSession(() => {
  SwaggerUIBundle({
    url: "/api/openapi.json",
    dom_id: "#app",
    deepLinking: true,
    // Nothing is asked of servers elsewhere.
    validatorUrl: null,
    requestInterceptor: authorize,
  });
});
