import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/forms.css";
import { createApp } from "vue";
import { withSession } from "./access";
import PeopleView from "./views/PeopleView.vue";

await withSession(() => {
  createApp(PeopleView).mount("#app");
});
