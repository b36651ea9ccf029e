import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/records.css";
import { createApp } from "vue";
import { session } from "./access/page-session";
import PeopleView from "./views/PeopleView.vue";

// What the page lists is asked for only once it is known who asks.
if (await session.start()) createApp(PeopleView).mount("#app");
