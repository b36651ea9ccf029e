import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/records.css";
import { createApp } from "vue";
import { session } from "./access/page-session";
import DevicesView from "./views/DevicesView.vue";

// What the page lists is asked for only once it is known who asks.
if (await session.start()) createApp(DevicesView).mount("#app");
