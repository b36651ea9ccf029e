import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import { withSession } from "./access";
import { readingFeed } from "./session";
import DashboardView from "./views/DashboardView.vue";

await withSession(() => {
  createApp(DashboardView).mount("#app");
  readingFeed.start();
});
