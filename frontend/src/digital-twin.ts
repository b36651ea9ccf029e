import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import { withSession } from "./access";
import { readingFeed } from "./session";
import DigitalTwinView from "./views/DigitalTwinView.vue";

await withSession(() => {
  createApp(DigitalTwinView).mount("#app");
  readingFeed.start();
});
