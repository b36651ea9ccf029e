/** The part of Swagger UI that is used: its package brings no types. */
declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface OutgoingRequest {
    url: string;
    headers: Record<string, string>;
  }

  interface SwaggerOptions {
    domNode: HTMLElement;
    url: string;
    validatorUrl: null;
    deepLinking: boolean;
    defaultModelsExpandDepth: number;
    docExpansion: "list" | "full" | "none";
    requestInterceptor(request: OutgoingRequest): OutgoingRequest;
  }

  export default function SwaggerUI(options: SwaggerOptions): unknown;
}
