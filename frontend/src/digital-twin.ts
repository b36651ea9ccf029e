import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import { session } from "./access/page-session";
import { readingFeed } from "./session";
import DigitalTwinView from "./views/DigitalTwinView.vue";

createApp(DigitalTwinView).mount("#app");
if (await session.start()) readingFeed.start();
