import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import { readingFeed } from "./session";
import DigitalTwinView from "./views/DigitalTwinView.vue";

createApp(DigitalTwinView).mount("#app");
readingFeed.start();
