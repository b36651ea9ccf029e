import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import { readingFeed } from "./session";
import DashboardView from "./views/DashboardView.vue";

createApp(DashboardView).mount("#app");
readingFeed.start();
