import "./styles/tokens.css";
import "./styles/base.css";
import { createApp } from "vue";
import LoginView from "./views/LoginView.vue";

createApp(LoginView).mount("#app");
