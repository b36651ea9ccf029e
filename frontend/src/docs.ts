import "./styles/tokens.css";
import "./styles/base.css";
import "swagger-ui-dist/swagger-ui.css";
import "./styles/docs.css";
import { createApp } from "vue";
import { session } from "./access/page-session";
import DocsView from "./views/DocsView.vue";

// Swagger swallows the dark scheme's colours unless it is told of them by this class.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = (): void => {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
};
dark.addEventListener("change", follow);
follow();

if (await session.start()) createApp(DocsView).mount("#app");
